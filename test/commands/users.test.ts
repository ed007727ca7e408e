import t from 'tap'
import { usernameLimits } from '../../src/identity.ts'
import { select } from '../fixtures/accounts.ts'
import { login, PASSWORD, register, tryLogin } from '../fixtures/app.ts'
import { serviceAndCommands } from '../fixtures/commands.ts'
import { decode } from '../fixtures/forge.ts'

t.test('users list shows every account, over several pages', async (t) => {
  const { app, latchkey } = await serviceAndCommands(t)
  const { id } = await register(app, 'ada', { email: 'ada@example.com' })
  const ada = await app.db.store.findUser(id)
  if (!ada) throw new Error('ada is gone')
  const more = Array.from({ length: 500 }, (_, i) => `user-${String(i).padStart(3, '0')}`)
  await Promise.all(more.map((name) => app.db.store.insertUser({ ...ada, id: name, username: name, usernameKey: name, email: null, emailKey: null })))
  const lines = await latchkey('users', 'list')
  t.equal(lines.length, 502)
  t.equal(lines[0], 'ID                                    STATE   USERNAME  EMAIL')
  t.equal(lines[1], `${id}  active  ada       ada@example.com`)
  t.equal(lines[501], 'user-499                              active  user-499  -')

  const documents = (await latchkey('users', 'list', '--json')).map((line) => JSON.parse(line))
  t.equal(documents.length, 501)
  t.match(documents[0], { id, state: 'active', username: 'ada', email: 'ada@example.com', email_verified: false, last_login_at: null, claims: {}, external_id: null })
})

t.test('users show prints the account without its password hash', async (t) => {
  const { app, clock, latchkey } = await serviceAndCommands(t)
  const { id } = await register(app, 'ada', { email: 'ada@example.com' })
  const time = new Date(clock.now()).toISOString()
  t.strictSame(await latchkey('users', 'show', 'ADA@example.com'), [
    `id              ${id}`, 'username        ada', 'email           ada@example.com', 'email_verified  false', `created_at      ${time}`,
    'last_login_at   -', 'state           active', 'disabled_at     -', 'external_id     -', 'claims          {}'
  ])
  t.strictSame(JSON.parse((await latchkey('users', 'show', 'ada', '--json')).join('')), {
    id, username: 'ada', email: 'ada@example.com', email_verified: false, created_at: time, last_login_at: null, state: 'active', disabled_at: null, external_id: null, claims: {}
  })
})

t.test('an unknown user → says so', async (t) => {
  const { latchkey, sending } = await serviceAndCommands(t)
  const unknown = { name: 'Refused', message: 'there is no such user', exitCode: 1 }
  const commands: [string, ...string[]][] = [['show'], ['disable'], ['enable'], ['delete', '--yes'], ['set-email', 'x@example.com'], ['set-claims', '{}']]
  for (const [command, ...rest] of commands) {
    await t.rejects(latchkey('users', command, 'nobody', ...rest), unknown, command)
  }
  await t.rejects(sending(PASSWORD)('users', 'set-password', 'nobody'), unknown)
})

t.test('users create with a password on standard input → the account logs in with it, its claims in the token', async (t) => {
  const { app, sending } = await serviceAndCommands(t)
  const [line = ''] = await sending('ends in a space \r\n')('users', 'create', 'Ada', '--email', 'Ada@example.com', '--claims', '{"is_admin":true}', '--json')
  t.match(JSON.parse(line), { username: 'Ada', email: 'Ada@example.com', state: 'active', claims: { is_admin: true } })
  const { access_token: token } = await login(app, 'ada@example.com', 'ends in a space ')
  t.match(decode(token).payload, { sub: JSON.parse(line).id, is_admin: true })
  t.equal((await tryLogin(app, 'ada', 'ends in a space')).statusCode, 401)
})

t.test('users create at a terminal → the password is asked for twice, and shown nowhere', async (t) => {
  const { app, path, typing } = await serviceAndCommands(t)
  const told: string[] = []
  const printed = await typing([PASSWORD, PASSWORD], told)('users', 'create', 'ada')
  t.match(printed, [/^ada is created, with the id [0-9a-f-]{36}$/])
  t.strictSame(told, ['New password (it is not shown):', 'Once more:'])
  t.ok(await login(app))

  await t.rejects(typing([PASSWORD, `${PASSWORD} `])('users', 'create', 'bob'), { name: 'Refused', message: 'the two passwords differ; nothing was changed' })
  await t.rejects(typing([PASSWORD])('users', 'create', 'bob'), { name: 'Refused', message: 'nothing was typed; nothing was changed' })
  t.strictSame(select(path, 'SELECT username FROM users'), [{ username: 'ada' }])
})

t.test('users create, users set-password with a password that the service would refuse → its reason, and nothing is changed', async (t) => {
  const { app, path, sending } = await serviceAndCommands(t)
  await register(app, 'ada-lovelace', { email: 'countess@example.com' })
  const cases: [string | Buffer, string][] = [
    ['short', 'password: This field is too short: 8 characters at least. (too_short)'],
    ['x'.repeat(1_025), 'password: This field is too long: 1024 characters at most. (too_long)'],
    ['password1', 'password: This password is among the most used ones. (common_password)'],
    ['ADA-lovelace', 'password: The password is the user\'s own name or address. (resembles_user)'],
    ['countess@example.com', 'password: The password is the user\'s own name or address. (resembles_user)'],
    ['', 'standard input: expected a password in one line'],
    ['one\nand another\n', 'standard input: expected a password in one line'],
    [Buffer.from('correct horse \xff', 'latin1'), 'standard input: expected a password in UTF-8'],
    ['x'.repeat(65_537), 'standard input: expected a password']
  ]
  for (const [password, message] of cases) {
    await t.rejects(sending(password)('users', 'set-password', 'ada-lovelace'), { name: 'Refused', message, exitCode: 1 }, message)
  }
  for (const [password, message] of cases.slice(0, 4)) {
    await t.rejects(sending(password)('users', 'create', 'Ada-Lovelace', '--email', 'a@example.com'), { name: 'Refused', message }, message)
  }
  t.equal(select(path, 'SELECT id FROM users').length, 1)
  t.ok(await login(app, 'ada-lovelace'))
})

t.test('users create with names that the service would refuse, or that are taken → the reason', async (t) => {
  const { app, sending } = await serviceAndCommands(t)
  await register(app, 'ada', { email: 'ada@example.com' })
  const create = (...args: string[]) => sending(PASSWORD)('users', 'create', ...args)
  await t.rejects(create('a b'), { name: 'Refused', message: `username: ${usernameLimits.format} (format)` })
  await t.rejects(create('eve\ufe0f'), { name: 'Refused', message: `username: ${usernameLimits.format} (format)` })
  await t.rejects(create('eve@example.com'), { name: 'Refused', message: `username: ${usernameLimits.format} (format)` })
  await t.rejects(create('eve', '--email', 'eve'), { name: 'Refused', message: 'email: This field is not in the expected form. (format)' })
  await t.rejects(create('eve', '--claims', '{"sub":"ada"}'), { name: 'UsageError', message: 'claims: "sub" is reserved' })
  for (const args of [['ADA'], ['eve', '--email', 'ADA@EXAMPLE.com']]) {
    await t.rejects(create(...args), { name: 'Refused', message: 'another account has the username or the e-mail address' })
  }
})

t.test('a password as an argument → a usage error that does not repeat it', async (t) => {
  const { latchkey } = await serviceAndCommands(t)
  const message = /^a password is no argument/
  for (const command of ['create', 'set-password']) {
    await t.rejects(latchkey('users', command, 'ada', 'hunter2hunter2'), { name: 'UsageError', message: /^too many arguments for '[\w-]+'\. Expected 1 argument but got 2/, exitCode: 2 })
    for (const secret of [['--password', 'hunter2hunter2'], ['--password=hunter2hunter2'], ['-phunter2hunter2']]) {
      await t.rejects(latchkey('users', command, 'ada', ...secret), { name: 'UsageError', message, exitCode: 2 }, secret.join(' '))
    }
  }
  await t.rejects(latchkey('users', 'create', 'ada', '--passwort=hunter2hunter2'), { name: 'UsageError', message: /^unknown option '--passwort'/ })
})
