import t, { type Test } from 'tap'
import { isProblem, select, tokensAnswer } from '../fixtures/accounts.ts'
import { bearer, getPrivate, login, PASSWORD, post, refresh, register, registerAndLogin, tryLogin } from '../fixtures/app.ts'
import { serviceAndCommands } from '../fixtures/commands.ts'
import { decode } from '../fixtures/forge.ts'

const ended = { access: 401, refresh: 401 }
const NEW_PASSWORD = 'another horse, another battery'

/** What the last event of that name says. */
function recorded (t: Test, path: string, event: string) {
  const [row] = select(path, 'SELECT user_id, user_agent, details FROM audit_events WHERE event = ? ORDER BY id DESC', event)
  t.match(row, { user_agent: 'latchkey command line' })
  return row
}

t.test('users disable ends every session at once, users enable lets a new login in', async (t) => {
  const { app, latchkey } = await serviceAndCommands(t)
  const { user: { id }, ...tokens } = await registerAndLogin(app)
  t.strictSame(await latchkey('users', 'disable', 'ada'), ['ada is disabled; every session is over'])
  t.strictSame(await tokensAnswer(app, tokens), ended)
  t.match((await latchkey('users', 'list')).join(), /disabled {2}ada/)
  isProblem(t, await tryLogin(app, 'ada'), 'invalid_credentials')
  t.strictSame(await latchkey('users', 'disable', 'ada', '--json'), [`{"id":"${id}","username":"ada","changed":false}`])

  t.strictSame(await latchkey('users', 'enable', 'ada'), ['ada is enabled'])
  t.equal((await getPrivate(app, tokens.access_token)).statusCode, 401, 'an ended session stays ended')
  t.ok(await login(app))
})

t.test('users set-password ends every session; the new password logs in, the old one does not', async (t) => {
  const { app, path, sending } = await serviceAndCommands(t)
  const { user, ...tokens } = await registerAndLogin(app)
  t.strictSame(await sending(`${NEW_PASSWORD}\n`)('users', 'set-password', 'ada'), ['ada has a new password; every session is over'])
  t.strictSame(await tokensAnswer(app, tokens), ended)
  isProblem(t, await tryLogin(app, 'ada'), 'invalid_credentials')
  t.ok(await login(app, 'ada', NEW_PASSWORD))
  t.match(recorded(t, path, 'authn_password_change'), { user_id: user.id })
})

t.test('users set-email → the new address logs in, the old one does not; verified when that is said', async (t) => {
  const { app, path, latchkey } = await serviceAndCommands(t)
  await register(app, 'ada', { email: 'old@example.com' })
  t.strictSame(await latchkey('users', 'set-email', 'ada', 'New@example.com'), ['ada has the address New@example.com'])
  isProblem(t, await tryLogin(app, 'old@example.com'), 'invalid_credentials')
  const { access_token: token } = await login(app, 'new@example.com')
  const me = async () => (await app.inject({ url: '/me', headers: bearer(token) })).json()
  t.match(await me(), { username: 'ada', email: 'New@example.com', email_verified: false })
  await latchkey('users', 'set-email', 'ada', 'new@example.com', '--verified')
  t.match(await me(), { email: 'new@example.com', email_verified: true }, 'and nobody is logged out')
  t.match(recorded(t, path, 'user_updated'), { details: '{"email_verified":true}' })
})

t.test('users set-email of an account whose username is the address → the username follows', async (t) => {
  const { app, latchkey } = await serviceAndCommands(t)
  await register(app, 'old@example.com', { email: 'old@example.com' })
  t.strictSame(await latchkey('users', 'set-email', 'old@example.com', 'new@example.com', '--json').then(([line = '']) => JSON.parse(line).changed), true)
  await t.rejects(latchkey('users', 'show', 'old@example.com'), { message: 'there is no such user' })
  const { access_token: token } = await login(app, 'new@example.com')
  t.match((await app.inject({ url: '/me', headers: bearer(token) })).json(), { username: 'new@example.com', email: 'new@example.com' })
})

t.test('users set-email to an address longer than a username may be → refused where the username follows, and nothing is changed', async (t) => {
  const { app, path, latchkey } = await serviceAndCommands(t)
  const long = `${'l'.repeat(60)}@${'d'.repeat(60)}.${'e'.repeat(28)}.com`
  await register(app, 'ada@example.com', { email: 'ada@example.com' })
  await register(app, 'eve', { email: 'eve@example.com' })
  await t.rejects(latchkey('users', 'set-email', 'ada@example.com', long), { name: 'Refused', message: /^username: .*\(too_long\)$/ })
  await t.rejects(latchkey('users', 'set-email', 'ada@example.com', 'nowhere'), { name: 'Refused', message: /^email: / })
  t.strictSame(select(path, 'SELECT username, email FROM users ORDER BY username'), [{ username: 'ada@example.com', email: 'ada@example.com' }, { username: 'eve', email: 'eve@example.com' }])
  t.strictSame(await latchkey('users', 'set-email', 'eve', long), [`eve has the address ${long}`])
})

t.test('users set-email to none, or to another account\'s → refused, and nothing is changed', async (t) => {
  const { app, path, latchkey } = await serviceAndCommands(t)
  await register(app, 'ada', { email: 'ada@example.com' })
  await register(app, 'eve', { email: 'eve@example.com' })
  await t.rejects(latchkey('users', 'set-email', 'eve', 'ADA@example.com'), { name: 'Refused', message: 'another account has the e-mail address' })
  await t.rejects(latchkey('users', 'set-email', 'eve', 'nowhere'), { name: 'Refused', message: /^email: / })
  t.strictSame(select(path, 'SELECT email FROM users ORDER BY username'), [{ email: 'ada@example.com' }, { email: 'eve@example.com' }])
})

t.test('users set-claims are in the tokens from the next refresh on', async (t) => {
  const { app, path, latchkey } = await serviceAndCommands(t)
  const { refresh_token: token } = await registerAndLogin(app)
  t.strictSame(await latchkey('users', 'set-claims', 'ada', ' {"is_admin": true} '), ['ada has the claims {"is_admin":true} from the next login or refresh on'])
  const { access_token: access } = (await refresh(app, token)).json()
  t.equal(decode(access).payload['is_admin'], true)
  t.equal((await app.inject({ url: '/me', headers: bearer(access) })).statusCode, 200)
  t.match(recorded(t, path, 'user_updated'), { details: '{"claims":{"is_admin":true}}' })
  await t.rejects(latchkey('users', 'set-claims', 'ada', '{"sub":"eve"}'), { name: 'UsageError', message: 'claims: "sub" is reserved' })
})

t.test('users delete --yes → the account and its sessions are gone, and its names are free', async (t) => {
  const { app, path, latchkey } = await serviceAndCommands(t)
  const { user: { id }, ...tokens } = await registerAndLogin(app)
  const eve = await registerAndLogin(app, 'eve')
  t.strictSame(await latchkey('users', 'delete', 'ada', '--yes'), ['ada is deleted, and every session with it'])
  t.strictSame(await tokensAnswer(app, tokens), ended)
  isProblem(t, await post(app, '/refresh', { refresh_token: tokens.refresh_token }), 'invalid_refresh_token')
  isProblem(t, await tryLogin(app, 'ada'), 'invalid_credentials')
  t.strictSame(select(path, 'SELECT user_id FROM sessions'), [{ user_id: eve.user.id }])
  t.match(recorded(t, path, 'user_deleted'), { user_id: id })
  t.equal((await getPrivate(app, eve.access_token)).statusCode, 200)
  t.not((await register(app, 'ada', { password: PASSWORD })).id, id)
})

t.test('users delete → the person at the terminal types the name; nobody there, or another name: nothing is deleted', async (t) => {
  const { app, path, latchkey, typing } = await serviceAndCommands(t)
  const { id } = await register(app)
  await t.rejects(latchkey('users', 'delete', 'ada'), { name: 'UsageError', message: 'nobody is at the terminal to confirm it; --yes does' })
  await t.rejects(typing(['yes'])('users', 'delete', 'ada'), { name: 'Refused', message: 'not confirmed; nothing was changed' })
  await t.rejects(typing([])('users', 'delete', 'ada'), { name: 'Refused', message: 'nothing was typed; nothing was changed' })
  t.equal(select(path, 'SELECT id FROM users').length, 1)
  const told: string[] = []
  await typing(['ada'], told)('users', 'delete', 'ada')
  t.strictSame(told, [`Delete ada (${id})? Type the username to confirm:`])
  t.equal(select(path, 'SELECT id FROM users').length, 0)
})
