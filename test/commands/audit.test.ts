import t from 'tap'
import { register } from '../fixtures/app.ts'
import { serviceAndCommands } from '../fixtures/commands.ts'

const { app, clock, latchkey } = await serviceAndCommands(t)
await app.listen({ port: 0, host: '127.0.0.1' })
const begun = clock.now()
const { id } = await register(app, 'ada', { email: 'ada@example.com' })
clock.advance(3_600_000)
await app.inject({ method: 'POST', url: '/login', remoteAddress: '203.0.113.7', headers: { 'user-agent': 'a browser' }, payload: { username: 'ada', password: 'wrong' } })
await register(app, 'eve')
await latchkey('users', 'set-claims', 'eve', '{"is_admin":true}')
const audit = async (...args: string[]) => (await latchkey('audit', '--json', ...args)).map((line) => JSON.parse(line))
const events = async (...args: string[]) => (await audit(...args)).map(({ event }) => event)

t.test('audit --json prints every event, the oldest first, one line of JSON for each', async (t) => {
  const [started, created, failed, ...more] = await audit()
  t.strictSame(started, { at: new Date(begun).toISOString(), event: 'sys_startup', user_id: null, session_id: null, ip: null, user_agent: null, request_id: null, details: null })
  t.match(created, { event: 'user_created', user_id: id, ip: '127.0.0.1' })
  t.match(failed, { at: new Date(clock.now()).toISOString(), event: 'authn_login_fail', user_id: id, ip: '203.0.113.7', user_agent: 'a browser', request_id: /^[0-9a-f-]{36}$/ })
  t.match(more, [{ event: 'user_created' }, { event: 'user_updated', user_agent: 'latchkey command line', details: { claims: { is_admin: true } } }])
  t.equal(more.length, 2)
})

t.test('audit → a table', async (t) => {
  const [heading = '', first = ''] = await latchkey('audit', '--event', 'user_created')
  t.match(heading, /^AT +EVENT +USER_ID +IP +DETAILS$/)
  t.equal(first, `${new Date(begun).toISOString()}  user_created  ${id}  127.0.0.1  -`)
})

t.test('audit --user, --event and --since each leave out the others, and together', async (t) => {
  t.strictSame(await events('--user', 'ada'), ['user_created', 'authn_login_fail'])
  t.strictSame(await events('--user', 'ADA@example.com'), ['user_created', 'authn_login_fail'])
  t.strictSame(await events('--event', 'user_created'), ['user_created', 'user_created'])
  t.strictSame(await events('--since', '1m'), ['authn_login_fail', 'user_created', 'user_updated'])
  t.strictSame((await events('--since', '1h')).length, 5, 'the very moment is in it')
  t.strictSame(await events('--since', new Date(clock.now()).toISOString()), ['authn_login_fail', 'user_created', 'user_updated'])
  t.strictSame(await events('--since', '2100-01-01'), [])
  for (const since of ['999999999999d', '0001-01-01', '2024-02-29']) t.equal((await events('--since', since)).length, 5, since)
  t.strictSame(await events('--user', 'ada', '--since', '1m', '--event', 'authn_login_fail'), ['authn_login_fail'])
  t.strictSame(await events('--user', 'ada', '--event', 'user_updated'), [])
})

t.test('audit prints more events than it reads at once', async (t) => {
  const event = { event: 'authn_login_fail', at: begun - 1, userId: null, sessionId: null, ip: null, userAgent: null, requestId: null, details: null }
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => app.db.store.insertAuditEvent({ ...event, id: `0-${i}` })))
  t.equal((await audit()).length, 1_005)
})

t.test('audit of an unknown user or event, or since no time → says what was expected', async (t) => {
  await t.rejects(latchkey('audit', '--user', 'nobody'), { name: 'Refused', message: 'there is no such user' })
  for (const event of ['login', '', 'AUTHN_LOGIN_FAIL']) {
    await t.rejects(latchkey('audit', '--event', event), { name: 'UsageError', message: /^--event: expected one of user_created, [\w, ]+$/ })
  }
  for (const since of ['yesterday', '', '1', '2026', '2026-13-01', '2026-02-31', '2025-02-29T12:00:00Z', '2026-04-31T12:00', '2026-01-31T25:00:00Z', '24', '-1h']) {
    const message = '--since: expected a time such as 2026-01-31T12:00:00Z, or how long ago, such as 24h'
    await t.rejects(latchkey('audit', `--since=${since}`), { name: 'UsageError', message }, since)
  }
})
