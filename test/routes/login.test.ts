import { randomBytes } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { once } from 'node:events'
import t from 'tap'
import { bearer, build, fakeClock, folder, getPrivate, login, PASSWORD, post, refresh, register, tryLogin } from '../fixtures/app.ts'
import { eventually, fillQueue, isInvalid, isProblem, lasting, shortest, sql, storedHash, tokensAnswer } from '../fixtures/accounts.ts'

/** For every test that needs no setting of its own: the threads of an application take a while to start. */
const path = folder(t)
const clock = fakeClock()
const shared = await build(t, { path, now: clock.now })

t.test('POST /login → 200 and a pair of tokens, no more', async (t) => {
  await register(shared, 'ada', { email: 'Ada@Bücher.example' })
  const response = await post(shared, '/login', { username: 'ada', password: PASSWORD })
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.equal(response.headers['cache-control'], 'no-store')
  t.strictSame(Object.keys(response.json()).sort(), ['access_token', 'expires_in', 'refresh_expires_in', 'refresh_token', 'token_type'])
  t.match(response.json(), { token_type: 'Bearer', refresh_expires_in: 14 * 86_400 })
  t.strictSame(await tokensAnswer(shared, response.json()), { access: 200, refresh: 200 })
})

t.test('POST /login by any spelling of the username or the address → 200', async (t) => {
  for (const username of ['ada', 'ADA', 'ａｄａ', 'ada@bücher.example', 'ADA@BÜCHER.EXAMPLE', 'ada@xn--bcher-kva.example', 'ada＠bücher。example']) {
    const response = await post(shared, '/login', { username, password: PASSWORD })
    t.equal(response.statusCode, 200, username)
  }
})

const scheme = (cost: string, key = 'builtin') => `bcrypt_hmac_sha384$${key}$${cost}$${'abcdefghijklmnopqrstuu' + '.'.repeat(31)}`
const damaged = [
  '', 'garbage', '$2b$04$abcdefghijklmnopqrstuu', scheme('00'), scheme('03'), scheme('04'), scheme('16'), scheme('31'), scheme('99'), scheme('04', 'unknown'),
  scheme('04').slice(0, -1), `${scheme('04')}.`, scheme('04').replace('abc', 'a$c'), scheme('4'), scheme('-1'), `bcrypt_hmac_sha384$builtin$04$${'9'.repeat(53)}`
]

t.test('POST /login that fails → one 401, whatever the cause', async (t) => {
  const unknown = await post(shared, '/login', { username: 'nobody', password: PASSWORD })
  isProblem(t, unknown, 'invalid_credentials')
  t.equal(unknown.headers['www-authenticate'], 'Bearer realm="latchkey"')
  t.notOk('retry-after' in unknown.headers)

  const same = async (username: string, password: string, why: string) =>
    t.strictSame(lasting(await post(shared, '/login', { username, password })), lasting(unknown), why)
  await same('ada', 'wrong password', 'wrong password')
  await same('ADA@bücher.example', 'wrong password', 'wrong password, by address')
  await same('nobody@example.org', PASSWORD, 'unknown address')
  await same('ada@', PASSWORD, 'no address')
  await same('', '', 'nothing')
  await same('a'.repeat(8000), 'b'.repeat(8000), 'very long')
  await same('a b', PASSWORD, 'no possible username')
  await same('\ud800', '\udfff', 'lone surrogates')
  await same('ada\0', PASSWORD, 'a NUL')

  const { id } = await register(shared, 'disabled')
  await shared.db.store.disableUser(id, clock.now())
  await same('disabled', PASSWORD, 'disabled')
  await same('disabled', 'wrong password', 'disabled, wrong password')
})

for (const hash of damaged) {
  t.test(`POST /login where the stored hash is "${hash.slice(0, 34)}" → the same 401, at once`, async (t) => {
    const unknown = await tryLogin(shared, 'nobody')
    await register(shared, 'damaged').catch(() => {})
    t.equal(sql(path, 'UPDATE users SET password_hash = ? WHERE username_key = ?', hash, 'damaged'), 1)
    t.strictSame(lasting(await tryLogin(shared, 'damaged')), lasting(unknown))
  })
}

t.test('POST /login without what it needs → 400 with one entry for each field at fault', async (t) => {
  const attempt = (body: object) => post(shared, '/login', body)
  isInvalid(t, await attempt({}), { '/username': 'required', '/password': 'required' })
  isInvalid(t, await attempt({ username: 1, password: null }), { '/username': 'type', '/password': 'type' })
  isInvalid(t, await attempt({ username: ['ada'], password: { $ne: '' } }), { '/username': 'type', '/password': 'type' })
  isInvalid(t, await attempt({ username: 'ada', password: PASSWORD, email: 'x' }), { '/email': 'unknown_field' })
  isInvalid(t, await attempt([]), { '': 'type' })
  isInvalid(t, await shared.inject({ method: 'POST', url: '/login' }), { '': 'type' })
})

t.test('POST /login takes credentials from the body alone → 400, 401', async (t) => {
  const query = `/login?username=ada&password=${encodeURIComponent(PASSWORD)}`
  isInvalid(t, await shared.inject({ method: 'POST', url: query }), { '': 'type' })
  isInvalid(t, await post(shared, query, {}), { '/username': 'required', '/password': 'required' })
  isProblem(t, await post(shared, query, { username: 'ada', password: 'wrong password' }), 'invalid_credentials')
})

t.test('POST /login never echoes what was sent → 400, 401', async (t) => {
  for (const body of [{ username: 'sentinel', password: 'sentinel' }, { username: { a: 'sentinel' }, password: ['sentinel'] }]) {
    const response = await post(shared, '/login', body)
    t.ok([400, 401].includes(response.statusCode))
    t.notMatch(response.body, /sentinel/)
  }
})

t.test('POST /login twice → two sessions, each with tokens of its own', async (t) => {
  await register(shared, 'twice')
  const first = await login(shared, 'twice')
  const second = await login(shared, 'twice')
  t.not(first.access_token, second.access_token)
  t.not(first.refresh_token, second.refresh_token)
  t.equal((await post(shared, '/logout', { refresh_token: first.refresh_token })).statusCode, 204)
  t.strictSame(await tokensAnswer(shared, first), { access: 401, refresh: 401 })
  t.strictSame(await tokensAnswer(shared, second), { access: 200, refresh: 200 })
})

t.test('POST /login sets last_login_at; one that fails does not → 200, 401', async (t) => {
  const user = await register(shared, 'punctual')
  t.equal(user.last_login_at, null)
  clock.advance(60_000)
  const at = new Date(clock.now()).toISOString()
  const { access_token: token } = await login(shared, 'punctual')
  clock.advance(60_000)
  isProblem(t, await post(shared, '/login', { username: 'punctual', password: 'wrong password' }), 'invalid_credentials')
  const response = await shared.inject({ url: '/me', headers: bearer(token) })
  t.strictSame(response.json(), { ...user, last_login_at: at })
})

t.test('POST /login of a disabled user with the right password → 401, and last_login_at is what it was', async (t) => {
  const { id } = await register(shared, 'barred')
  await shared.db.store.disableUser(id, clock.now())
  isProblem(t, await post(shared, '/login', { username: 'barred', password: PASSWORD }), 'invalid_credentials')
  t.equal((await shared.db.store.findUser(id))?.lastLoginAt, null)
})

t.test('POST /login notes the address and 256 characters of the user agent, without control characters, and believes no proxy → 200', async (t) => {
  await register(shared, 'noted')
  const agent = `\u009b31m${'x'.repeat(252)}tail`
  const response = await shared.inject({
    method: 'POST',
    url: '/login',
    payload: { username: 'noted', password: PASSWORD },
    remoteAddress: '203.0.113.7',
    headers: { 'user-agent': agent, 'x-forwarded-for': '198.51.100.1', forwarded: 'for=198.51.100.1' }
  })
  const sessions = await shared.inject({ url: '/sessions', headers: bearer(response.json().access_token) })
  t.match(sessions.json(), [{ ip: '203.0.113.7', user_agent: `\ufffd31m${'x'.repeat(252)}`, current: true, created_at: new Date(clock.now()).toISOString() }])
  t.equal(sessions.json().length, 1)
})

t.test('POST /login without a User-Agent → 200, and an empty one is noted', async (t) => {
  const app = await build(t, { path })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const request = httpRequest(`${app.listeningOrigin}/login`, { method: 'POST', headers: { 'content-type': 'application/json' } })
  request.end(JSON.stringify({ username: 'noted', password: PASSWORD }))
  // The event's only argument.
  const [response] = await once(request, 'response') as [import('node:http').IncomingMessage]
  t.equal(response.statusCode, 200)
  const { access_token: token } = JSON.parse(Buffer.concat(await response.toArray()).toString())
  const sessions = await app.inject({ url: '/sessions', headers: bearer(token) })
  t.match(sessions.json(), [{ current: true, user_agent: '', ip: '127.0.0.1' }])
})

t.test('POST /login of a user disabled while the password is being compared → 401, and no session', async (t) => {
  const { id } = await register(shared, 'leaving')
  const attempt = post(shared, '/login', { username: 'leaving', password: PASSWORD })
  const { verify } = shared.passwords
  t.intercept(shared.passwords, 'verify', {
    value: async (...args: Parameters<typeof verify>) => {
      const verdict = await verify(...args)
      await shared.db.store.disableUser(id, clock.now())
      return verdict
    }
  })
  isProblem(t, await attempt, 'invalid_credentials')
  t.strictSame(await shared.db.store.listLiveSessions(id, clock.now()), [])
})

t.test('POST /login with a full hashing queue → 503 overloaded with Retry-After, for any name', async (t) => {
  const release = fillQueue(shared)
  const answers = [await post(shared, '/login', { username: 'ada', password: PASSWORD }), await post(shared, '/login', { username: 'nobody', password: 'x' })]
  for (const answer of answers) {
    isProblem(t, answer, 'overloaded')
    t.equal(answer.headers['retry-after'], '1')
  }
  release()
  await login(shared)
})

t.test('POST /login, ten at once with room for four → four answers, six times 503; registration keeps its place → 201', async (t) => {
  const app = await build(t, { env: { LATCHKEY_HASH_THREADS: '1', LATCHKEY_HASH_QUEUE: '4', LATCHKEY_BCRYPT_COST: '9' } })
  const logins = Array.from({ length: 10 }, () => tryLogin(app, 'ada'))
  await eventually(async () => app.passwords.places() === 4)
  const registrations = ['bob', 'eve'].map((username) => post(app, '/register', { username, password: PASSWORD }))
  t.strictSame((await Promise.all(logins)).map(({ statusCode }) => statusCode).sort(), [401, 401, 401, 401, 503, 503, 503, 503, 503, 503])
  t.strictSame((await Promise.all(registrations)).map(({ statusCode }) => statusCode), [201, 503])
  await login(app, 'bob')
})

t.test('POST /login that fails takes as long for a cheap old hash as for today\'s → 401', async (t) => {
  await register(shared, 'old')
  const { id } = await register(shared, 'gone')
  await shared.db.store.disableUser(id, clock.now())
  const app = await build(t, { path, env: { LATCHKEY_BCRYPT_COST: '10' } })
  const failing = (username: string, password: string) => async () => isProblem(t, await tryLogin(app, username, password), 'invalid_credentials')
  const unknown = failing('nobody', PASSWORD)
  const cheap = failing('old', 'wrong password')
  const disabled = failing('gone', PASSWORD)

  const [old, none] = await shortest(cheap, unknown)
  t.ok(old > 0.6 * none, `a wrong password for a hash of cost 4 takes ${old} ms, an unknown user ${none} ms`)
  const [barred, nobody] = await shortest(disabled, unknown)
  t.ok(barred > 0.6 * nobody, `the right password of a disabled user with a hash of cost 4 takes ${barred} ms, an unknown user ${nobody} ms`)
})

t.test('POST /login after the cost and the pepper have changed → 200, a new hash, and every session goes on', async (t) => {
  const path = folder(t)
  const peppers = [randomBytes(36).toString('base64'), randomBytes(36).toString('base64')] as const
  const restart = async (env: Record<string, string>, work: (app: Awaited<ReturnType<typeof build>>) => Promise<void>) => {
    const app = await build(t, { path, env })
    await work(app)
    await app.close()
  }
  const upgraded = async (app: Awaited<ReturnType<typeof build>>, form: RegExp) => {
    const before = await storedHash(app)
    const { refresh_token: token } = await login(app)
    await eventually(async () => await storedHash(app) !== before)
    t.match(await storedHash(app), form)
    isProblem(t, await post(app, '/login', { username: 'ada', password: 'wrong password' }), 'invalid_credentials')
    const after = await storedHash(app)
    await login(app)
    t.equal(await storedHash(app), after, 'a hash of today stays')
    return token
  }
  let token = ''

  await restart({}, async (app) => {
    await register(app, 'ada')
    await register(app, 'sleeper')
    token = (await login(app)).refresh_token
    t.match(await storedHash(app), /^bcrypt_hmac_sha384\$builtin\$04\$/)
  })
  await restart({ LATCHKEY_BCRYPT_COST: '6', LATCHKEY_PASSWORD_PEPPER: peppers[0] }, async (app) => {
    const again = await upgraded(app, /^bcrypt_hmac_sha384\$(?!builtin)[\w-]+\$06\$/)
    t.equal((await refresh(app, token)).statusCode, 200, 'a session from before the new hash goes on')
    t.equal((await refresh(app, again)).statusCode, 200)
    await login(app, 'sleeper')
    await eventually(async () => !(await storedHash(app, 'sleeper')).includes('builtin'))
  })
  await restart({ LATCHKEY_BCRYPT_COST: '4', LATCHKEY_PASSWORD_PEPPER: peppers[1], LATCHKEY_PASSWORD_PEPPER_FALLBACKS: peppers[0] }, async (app) => {
    const before = (await storedHash(app)).split('$')[1]
    isProblem(t, await post(app, '/login', { username: 'ada', password: 'wrong password' }), 'invalid_credentials')
    await upgraded(app, /^bcrypt_hmac_sha384\$(?!builtin)[\w-]+\$04\$/)
    t.not((await storedHash(app)).split('$')[1], before, 'it names another key')
  })
  await restart({ LATCHKEY_PASSWORD_PEPPER: peppers[1] }, async (app) => {
    await login(app)
    isProblem(t, await post(app, '/login', { username: 'sleeper', password: PASSWORD }), 'invalid_credentials')
  })
})

t.test('POST /login whose new hash cannot be made or kept → 200 all the same, and the next one tries again', async (t) => {
  const app = await build(t, { path, env: { LATCHKEY_BCRYPT_COST: '5' } })
  const { store } = app.db
  await register(shared, 'stubborn')
  const before = await storedHash(app, 'stubborn')

  const { reserve } = app.passwords
  const purposes: string[] = []
  const full = t.intercept(app.passwords, 'reserve', {
    value: (purpose: 'login' | 'other') => purposes.push(purpose) > 1 ? undefined : reserve(purpose)
  })
  await login(app, 'stubborn')
  await eventually(async () => purposes.length > 1)
  full.restore()
  t.strictSame(purposes, ['login', 'login'])
  t.equal(await storedHash(app, 'stubborn'), before, 'no place in the queue')

  const warnings = t.capture(app.log, 'warn')
  const failing = t.intercept(store, 'upgradeHash', { value: async () => { throw new Error('no disk') } })
  await login(app, 'stubborn')
  await eventually(async () => warnings().length > 0)
  failing.restore()
  t.equal(await storedHash(app, 'stubborn'), before)

  const { access_token: token } = await login(app, 'stubborn')
  await eventually(async () => (await storedHash(app, 'stubborn')).startsWith('bcrypt_hmac_sha384$builtin$05$'))
  t.equal((await getPrivate(app, token)).statusCode, 200)
})

t.test('POST /login does not bring back a password that was changed before its new hash was kept → 200, 401', async (t) => {
  const app = await build(t, { path, env: { LATCHKEY_BCRYPT_COST: '5' } })
  await register(shared, 'racer')
  const { upgradeHash } = app.db.store
  let kept: boolean | undefined
  t.intercept(app.db.store, 'upgradeHash', {
    value: async (id: string, old: string, hash: string) => {
      await post(shared, '/password', { current_password: PASSWORD, new_password: 'another password' }, bearer(token))
      kept = await upgradeHash(id, old, hash)
      return kept
    }
  })
  const { access_token: token } = await login(shared, 'racer')
  await login(app, 'racer')
  await eventually(async () => kept !== undefined)
  t.equal(kept, false)
  isProblem(t, await post(app, '/login', { username: 'racer', password: PASSWORD }), 'invalid_credentials')
  await login(shared, 'racer', 'another password')
})

t.test('POST /login when something breaks → 500 internal_error, and no word of what', async (t) => {
  const app = await build(t, { path })
  t.intercept(app.db.store, 'findUserByUsername', { value: async () => { throw new TypeError('secret detail') } })
  const response = await post(app, '/login', { username: 'ada', password: PASSWORD })
  isProblem(t, response, 'internal_error')
  t.notMatch(response.body, /secret|TypeError|login\.ts/)
  t.notOk('retry-after' in response.headers)
})

t.test('POST /login gives its place in the queue back, however it ends → 200', async (t) => {
  const app = await build(t, { path, env: { LATCHKEY_HASH_THREADS: '1', LATCHKEY_HASH_QUEUE: '1' } })
  for (const password of [PASSWORD, 'wrong password', PASSWORD, 'wrong password', PASSWORD]) {
    const { statusCode } = await post(app, '/login', { username: 'ada', password })
    t.equal(statusCode, password === PASSWORD ? 200 : 401)
  }
})

t.test('POST /login for a cookie → 200 and the refresh token in the cookie alone; from another site 403; where cookies are off 400', async (t) => {
  const app = await build(t, { path, now: clock.now, env: { LATCHKEY_COOKIES: 'on' } })
  const payload = { username: 'ada', password: PASSWORD, transport: 'cookie' }
  const attempt = (by: typeof app, origin: string) => by.inject({ method: 'POST', url: '/login', payload, headers: { origin } })
  const response = await attempt(app, 'http://localhost:3000')
  t.equal(response.statusCode, 200)
  t.notOk('refresh_token' in response.json())
  t.match(response.cookies, [{ name: 'latchkey', httpOnly: true, sameSite: 'Strict', path: '/' }])

  const foreign = await attempt(app, 'https://evil.example')
  isProblem(t, foreign, 'csrf_rejected')
  t.strictSame(foreign.cookies, [])
  isInvalid(t, await attempt(shared, 'http://localhost:3000'), { '/transport': 'format' })
})
