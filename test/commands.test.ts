import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { run } from '../src/commands.ts'
import { UsageError } from '../src/commands/terminal.ts'
import { ConfigError } from '../src/config.ts'
import { ANNOUNCEMENT } from '../src/key-life.ts'
import { commandLine, terminal } from './fixtures/commands.ts'
import { bearer, build, fakeClock, folder, getPrivate, login, refresh, register, registerAndLogin } from './fixtures/app.ts'

async function serviceAndCommands (t: Test) {
  const path = folder(t)
  const clock = fakeClock()
  const app = await build(t, { path, now: clock.now })
  return { app, clock, latchkey: commandLine(path, clock.now) }
}

t.test('keys', async (t) => {
  t.test('keys list shows the key of the first start as signing', async (t) => {
    const { app, latchkey } = await serviceAndCommands(t)
    const kid = app.keys.signer()?.kid
    t.same(await latchkey('keys', 'list'), [`${kid}  ES256  signing   from the start`])
  })

  t.test('keys rotate announces a key, lets it sign six minutes later, and logs nobody out', async (t) => {
    const { app, clock, latchkey } = await serviceAndCommands(t)
    const before = await registerAndLogin(app)
    const old = app.keys.signer()?.kid
    const [line = ''] = await latchkey('keys', 'rotate')
    const fresh = line.split(' ')[0]
    t.equal(line, `${fresh} signs from ${new Date(clock.now() + ANNOUNCEMENT).toISOString()}`)

    await app.keys.reload()
    t.same(app.keys.published().map((key) => key.kid), [old, fresh], 'the new key is announced')
    t.equal(app.keys.signer()?.kid, old, 'and does not sign yet')
    t.match((await latchkey('keys', 'list')).join('\n'), new RegExp(`${old}.*signing[^]*${fresh}.*coming`))

    clock.advance(ANNOUNCEMENT)
    t.equal(app.keys.signer()?.kid, fresh)
    t.equal((await getPrivate(app, before.access_token)).statusCode, 200, 'a token of the old key opens as before')
    t.equal((await refresh(app, before.refresh_token)).statusCode, 200)
    t.match((await latchkey('keys', 'list')).join('\n'), new RegExp(`${old}.*retiring[^]*${fresh}.*signing`))

    clock.advance(3_600_000)
    t.match((await latchkey('keys', 'list')).join('\n'), new RegExp(`${old}.*retired[^]*${fresh}.*signing`))
    t.same(app.keys.published().map((key) => key.kid), [fresh])
  })

  t.test('keys rotate --now lets the new key sign at once', async (t) => {
    const { app, latchkey } = await serviceAndCommands(t)
    const [line = ''] = await latchkey('keys', 'rotate', '--now')
    await app.keys.reload()
    t.equal(app.keys.signer()?.kid, line.split(' ')[0])
  })

  t.test('keys rotate --now twice in one millisecond → the second says so', async (t) => {
    const { latchkey } = await serviceAndCommands(t)
    await latchkey('keys', 'rotate', '--now')
    await t.rejects(latchkey('keys', 'rotate', '--now'), { name: 'UsageError', message: /at this very moment/ })
  })

  t.test('keys revoke lets the tokens of the key open nothing, and a new key sign', async (t) => {
    const { app, clock, latchkey } = await serviceAndCommands(t)
    const { access_token: token, refresh_token: refreshToken } = await registerAndLogin(app)
    const kid = String(app.keys.signer()?.kid)
    t.match(await latchkey('keys', 'revoke', kid), [`${kid} is revoked; the service knows within 30 seconds`])
    clock.advance(30_000)
    await app.keys.reload()
    t.equal((await getPrivate(app, token)).statusCode, 401)
    const fresh = await refresh(app, refreshToken)
    t.equal(fresh.statusCode, 200, 'nobody is logged out')
    t.equal((await getPrivate(app, fresh.json().access_token)).statusCode, 200)
    t.match((await latchkey('keys', 'list')).join('\n'), new RegExp(`${kid}.*revoked[^]*signing`))
  })

  t.test('keys revoke of a key that does not sign makes no new one', async (t) => {
    const { latchkey } = await serviceAndCommands(t)
    const [line = ''] = await latchkey('keys', 'rotate')
    await latchkey('keys', 'revoke', String(line.split(' ')[0]))
    t.equal((await latchkey('keys', 'list')).length, 2)
  })

  t.test('keys revoke of an unknown or a revoked key → says so', async (t) => {
    const { latchkey } = await serviceAndCommands(t)
    for (const kid of ['nothing', `-${'x'.repeat(42)}`, `-h${'x'.repeat(41)}`, `--${'x'.repeat(41)}`]) {
      await t.rejects(latchkey('keys', 'revoke', kid), { name: 'UsageError', message: /no such key/ }, kid)
    }
  })
})

t.test('users', async (t) => {
  t.test('users list shows every account, over several pages', async (t) => {
    const { app, latchkey } = await serviceAndCommands(t)
    const { id } = await register(app, 'ada')
    const ada = await app.db.store.findUser(id)
    if (!ada) throw new Error('ada is gone')
    const more = Array.from({ length: 500 }, (_, i) => `user-${String(i).padStart(3, '0')}`)
    await Promise.all(more.map((name) => app.db.store.insertUser({ ...ada, id: name, username: name, usernameKey: name })))
    const lines = await latchkey('users', 'list')
    t.equal(lines.length, 501)
    t.equal(lines[0], `${id}  active    ada`)
    t.equal(lines[500], 'user-499  active    user-499')
  })

  t.test('users show prints the account without its password hash', async (t) => {
    const { app, latchkey } = await serviceAndCommands(t)
    const { id } = await register(app, 'ada', { email: 'ada@example.com' })
    const shown = JSON.parse((await latchkey('users', 'show', 'ADA@example.com')).join('\n'))
    t.match(shown, { id, username: 'ada', email: 'ada@example.com', claims: '{}' })
    t.notOk('passwordHash' in shown)
  })

  t.test('users disable ends every session at once, users enable lets a new login in', async (t) => {
    const { app, latchkey } = await serviceAndCommands(t)
    const { access_token: token, refresh_token: refreshToken } = await registerAndLogin(app)
    t.same(await latchkey('users', 'disable', 'ada'), ['ada is disabled; every session is over'])
    t.equal((await getPrivate(app, token)).statusCode, 401)
    t.equal((await refresh(app, refreshToken)).statusCode, 401)
    t.match((await latchkey('users', 'list')).join(), /disabled {2}ada/)
    await t.rejects(login(app))

    t.same(await latchkey('users', 'enable', 'ada'), ['ada is enabled'])
    t.equal((await getPrivate(app, token)).statusCode, 401, 'an ended session stays ended')
    t.ok(await login(app))
  })

  t.test('users claims are in the tokens from the next refresh on', async (t) => {
    const { app, latchkey } = await serviceAndCommands(t)
    const { refresh_token: token } = await registerAndLogin(app)
    t.same(await latchkey('users', 'claims', 'ada', ' {"is_admin": true} '),
      ['ada has the claims {"is_admin":true} from the next login or refresh on'])
    const { access_token: access } = (await refresh(app, token)).json()
    const [, payload = ''] = access.split('.')
    t.equal(JSON.parse(Buffer.from(payload, 'base64url').toString()).is_admin, true)
    t.equal((await app.inject({ url: '/me', headers: bearer(access) })).statusCode, 200)
  })

  t.test('users claims that are reserved → refused, with the name', async (t) => {
    const { app, latchkey } = await serviceAndCommands(t)
    await register(app)
    await t.rejects(latchkey('users', 'claims', 'ada', '{"sub":"eve"}'), { name: 'UsageError', message: 'claims: "sub" is reserved' })
  })

  t.test('an unknown user → says so', async (t) => {
    const { latchkey } = await serviceAndCommands(t)
    await t.rejects(latchkey('users', 'show', 'nobody'), { name: 'UsageError', message: 'there is no such user' })
  })
})

t.test('audit', async (t) => {
  const { app, clock, latchkey } = await serviceAndCommands(t)
  const begun = clock.now()
  const { id } = await register(app, 'ada', { email: 'ada@example.com' })
  clock.advance(3_600_000)
  await app.inject({ method: 'POST', url: '/login', remoteAddress: '203.0.113.7', headers: { 'user-agent': 'a browser' }, payload: { username: 'ada', password: 'wrong' } })
  await register(app, 'eve')
  await latchkey('users', 'claims', 'eve', '{"is_admin":true}')
  const audit = async (...args: string[]) => (await latchkey('audit', ...args)).map((line) => JSON.parse(line))
  const events = async (...args: string[]) => (await audit(...args)).map(({ event }) => event)

  t.test('audit prints every event, the oldest first, one line of JSON for each', async (t) => {
    const [started, created, failed, ...more] = await audit()
    t.strictSame(started, { at: new Date(begun).toISOString(), event: 'sys_startup', userId: null, sessionId: null, ip: null, userAgent: null, requestId: null, details: null })
    t.match(created, { event: 'user_created', userId: id, ip: '127.0.0.1' })
    t.match(failed, { at: new Date(clock.now()).toISOString(), event: 'authn_login_fail', userId: id, ip: '203.0.113.7', userAgent: 'a browser', requestId: /^[0-9a-f-]{36}$/ })
    t.match(more, [{ event: 'user_created' }, { event: 'user_updated', userAgent: 'latchkey command line', details: { claims: '{"is_admin":true}' } }])
    t.equal(more.length, 2)
  })

  t.test('audit --user, --event and --since each leave out the others, and together', async (t) => {
    t.strictSame(await events('--user', 'ada'), ['user_created', 'authn_login_fail'])
    t.strictSame(await events('--user', 'ADA@example.com'), ['user_created', 'authn_login_fail'])
    t.strictSame(await events('--event', 'user_created'), ['user_created', 'user_created'])
    t.strictSame(await events('--since', '1m'), ['authn_login_fail', 'user_created', 'user_updated'])
    t.strictSame((await events('--since', '1h')).length, 5, 'the very moment is in it')
    t.strictSame(await events('--since', new Date(clock.now()).toISOString()), ['authn_login_fail', 'user_created', 'user_updated'])
    t.strictSame(await events('--since', '2100-01-01'), [])
    t.strictSame(await events('--user', 'ada', '--since', '1m', '--event', 'authn_login_fail'), ['authn_login_fail'])
    t.strictSame(await events('--user', 'ada', '--event', 'user_updated'), [])
  })

  t.test('audit prints more events than it reads at once', async (t) => {
    const event = { event: 'authn_login_fail', at: begun - 1, userId: null, sessionId: null, ip: null, userAgent: null, requestId: null, details: null }
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => app.db.store.insertAuditEvent({ ...event, id: `0-${i}` })))
    t.equal((await latchkey('audit')).length, 1_005)
  })

  t.test('audit of an unknown user or event, or since no time → says what was expected', async (t) => {
    await t.rejects(latchkey('audit', '--user', 'nobody'), { name: 'UsageError', message: 'there is no such user' })
    for (const event of ['login', '', 'AUTHN_LOGIN_FAIL']) {
      await t.rejects(latchkey('audit', '--event', event), { name: 'UsageError', message: /^--event: expected one of user_created, [\w, ]+$/ })
    }
    for (const since of ['yesterday', '', '1', '2026', '2026-13-01', '2026-01-31T25:00:00Z', '24', '-1h']) {
      const message = '--since: expected a time such as 2026-01-31T12:00:00Z, or how long ago, such as 24h'
      await t.rejects(latchkey('audit', `--since=${since}`), { name: 'UsageError', message }, since)
    }
  })
})

t.test('what is typed wrong is told in one line', async (t) => {
  const latchkey = commandLine(folder(t))
  const cases: [string[], RegExp][] = [
    [[], /^expected a command/],
    [['keys'], /^expected a command/],
    [['kes'], /^unknown command 'kes' \(Did you mean keys\?\)$/],
    [['keys', 'revoke'], /^missing required argument 'kid'$/],
    [['keys', 'list', '--all'], /^unknown option '--all'$/]
  ]
  for (const [args, message] of cases) await t.rejects(latchkey(...args), { name: 'UsageError', message })
})

t.test('--help lists the commands', async (t) => {
  t.match((await commandLine(folder(t))('--help')).join('\n'), /keys[^]*users[^]*audit/)
})

t.test('a wrong setting stops the command line too', async (t) => {
  const stray = run(['keys', 'list'], terminal([], { env: { LATCHKEY_SECRT: 'x' } }))
  await t.rejects(stray, ConfigError)
})

t.test('the program itself', async (t) => {
  const latchkey = async (args: string[], env: NodeJS.ProcessEnv) => {
    const child = spawn(process.execPath, ['dist/src/cli.js', ...args], { env: { ...process.env, ...env } })
    let [out, err] = ['', '']
    child.stdout.on('data', (data) => { out += data })
    child.stderr.on('data', (data) => { err += data })
    const [code] = await once(child, 'close')
    return { code, out, err }
  }
  const env = { DATABASE_URL: `file:${join(folder(t), 'latchkey.db')}` }

  t.test('it prints and ends with 0', async (t) => {
    const { code, out, err } = await latchkey(['keys', 'rotate'], env)
    t.match({ code, err }, { code: 0, err: '' })
    t.match(out, /^[\w-]{43} signs from /)
  })

  t.test('a mistake is one line, and ends with 1', async (t) => {
    t.match(await latchkey(['keys', 'revoke', 'x'], env), { code: 1, out: '', err: /^latchkey: there is no such key.*\n$/ })
    t.match(await latchkey(['audit', '--event', 'x'], env), { code: 1, out: '', err: /^latchkey: --event: expected one of .*\n$/ })
    t.match(await latchkey(['keys', 'list'], { PORT: 'x' }), { code: 1, out: '', err: /^latchkey: PORT: .*\n$/ })
  })
})

t.test('a usage error is an error by name', async (t) => t.equal(new UsageError('x').name, 'UsageError'))
