import t from 'tap'
import { select, sql, tokensAnswer } from '../fixtures/accounts.ts'
import { login, registerAndLogin } from '../fixtures/app.ts'
import { serviceAndCommands } from '../fixtures/commands.ts'
import { decode } from '../fixtures/forge.ts'

const DAY = 86_400_000
const alive = { access: 200, refresh: 200 }
const ended = { access: 401, refresh: 401 }
const sidOf = ({ access_token: token }: { access_token: string }) => String(decode(token).payload['sid'])

t.test('sessions list shows the live sessions of all, or of one account', async (t) => {
  const { app, path, clock, latchkey } = await serviceAndCommands(t)
  const ada = await registerAndLogin(app)
  await latchkey('users', 'disable', 'ada')
  await latchkey('users', 'enable', 'ada')
  clock.advance(1)
  const again = await login(app)
  // As an import may bring it: no login keeps a control character.
  sql(path, 'UPDATE sessions SET user_agent = ? WHERE id = ?', 'a \u009b31m browser', sidOf(again))
  clock.advance(1)
  const eve = await registerAndLogin(app, 'eve')
  const lines = await latchkey('sessions', 'list')
  t.equal(lines.length, 3)
  t.match(lines[0], /^ID +USERNAME +LAST_USED_AT +IP +USER_AGENT$/)
  t.match(lines[1], `${sidOf(again)}  ada       ${new Date(clock.now() - 1).toISOString()}  127.0.0.1  a \ufffd31m browser`)
  t.match(lines[2], `${sidOf(eve)}  eve`)
  t.notMatch(lines.join(), sidOf(ada), 'what has ended is not shown')

  const [line = '', ...more] = await latchkey('sessions', 'list', '--user', 'ADA', '--json')
  t.strictSame(more, [])
  t.notMatch(line, /\p{Cc}/u)
  const at = new Date(clock.now() - 1).toISOString()
  t.strictSame(JSON.parse(line), {
    id: sidOf(again), username: 'ada', created_at: at, last_used_at: at, expires_at: new Date(clock.now() - 1 + 14 * DAY).toISOString(), ip: '127.0.0.1', user_agent: 'a \u009b31m browser'
  })
  clock.advance(14 * DAY)
  t.strictSame(await latchkey('sessions', 'list', '--json'), [], 'nor what has expired')
})

t.test('sessions revoke ID ends that session alone, and says so when there is none', async (t) => {
  const { app, path, latchkey } = await serviceAndCommands(t)
  const { user, ...one } = await registerAndLogin(app)
  const other = await login(app)
  t.strictSame(await latchkey('sessions', 'revoke', sidOf(one).toUpperCase()), [`${sidOf(one)} is over`])
  t.strictSame(await tokensAnswer(app, one), ended)
  t.strictSame(await tokensAnswer(app, other), alive)
  t.match(select(path, 'SELECT user_id, session_id, details FROM audit_events WHERE event = ?', 'session_revoked'), [{ user_id: user.id, session_id: sidOf(one), details: null }])
  for (const id of [sidOf(one), 'nothing']) await t.rejects(latchkey('sessions', 'revoke', id), { name: 'Refused', message: /^there is no such session/ })
})

t.test('sessions revoke --user ends every session of that account alone', async (t) => {
  const { app, path, latchkey } = await serviceAndCommands(t)
  const { user, ...one } = await registerAndLogin(app)
  const other = await login(app)
  const eve = await registerAndLogin(app, 'eve')
  t.strictSame(await latchkey('sessions', 'revoke', '--user', 'ada', '--json'), [`{"user_id":"${user.id}"}`])
  t.strictSame([await tokensAnswer(app, one), await tokensAnswer(app, other), await tokensAnswer(app, eve)], [ended, ended, alive])
  t.match(select(path, 'SELECT user_id, session_id, details FROM audit_events WHERE event = ?', 'session_revoked'), [{ user_id: user.id, session_id: null, details: '{"all":true}' }])
  for (const args of [[], [sidOf(eve), '--user', 'eve']]) {
    await t.rejects(latchkey('sessions', 'revoke', ...args), { name: 'UsageError', message: 'expected the id of a session, or --user' })
  }
})

t.test('sessions prune deletes what has expired, however much, and nothing else', async (t) => {
  const { app, clock, path, latchkey } = await serviceAndCommands(t)
  const { user } = await registerAndLogin(app)
  const [row] = await app.db.store.listSessions('', 1)
  if (!row) throw new Error('there is no session')
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => app.db.store.importSession({ ...row, id: `old-${i}`, expiresAt: clock.now() })))
  t.strictSame(await latchkey('sessions', 'prune'), ['1000 expired sessions deleted'])
  t.strictSame(await latchkey('sessions', 'prune', '--json'), ['{"deleted":0}'])
  t.strictSame(select(path, 'SELECT user_id FROM sessions'), [{ user_id: user.id }])
})
