import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config.ts'
import { failWrites, fillQueue, isProblem, sql, tokensAnswer } from '../fixtures/accounts.ts'
import { bearer, build, fakeClock, folder, getPrivate, login, newAddress, PASSWORD, post, refresh, register } from '../fixtures/app.ts'
import { contract } from '../fixtures/contract.ts'
import { decode, forge, hmac, secretsOf } from '../fixtures/forge.ts'
import { exchange } from '../fixtures/socket.ts'

const path = folder(t)
const clock = fakeClock()
const env = { LATCHKEY_SIMPLE_JWT: 'on', LATCHKEY_CORS_ORIGINS: 'https://app.example.com' }
const app = await build(t, { path, env, now: clock.now })
await register(app, 'ada', { email: 'ada@example.com' })

const FORM = 'application/x-www-form-urlencoded'
const REQUIRED = 'This field is required.'
const BLACKLISTED = { non_field_errors: ['Token is blacklisted'] }
const credentials = { username: 'ada', password: PASSWORD }

/** Asserts the whole of an answer in the words of Django REST Framework. */
function says (t: Test, response: LightMyRequestResponse, [statusCode, body]: [number, object], about = JSON.stringify(body)) {
  const { headers } = response
  t.strictSame({ statusCode: response.statusCode, body: response.body, type: headers['content-type'], cache: headers['cache-control'], challenge: headers['www-authenticate'] }, {
    statusCode, body: JSON.stringify(body), type: 'application/json; charset=utf-8', cache: 'no-store', challenge: statusCode === 401 ? 'Bearer realm="api"' : undefined
  }, about)
}

const refusal = (detail: string) => ({ detail, code: 'token_not_valid' })

async function obtain (on = app, body: object = credentials): Promise<{ refresh: string, access: string }> {
  const response = await post(on, '/api/token/', body)
  if (response.statusCode !== 200) throw new Error(response.body)
  return response.json()
}

const obtained = async () => {
  const { access, refresh } = await obtain()
  return { access, refresh, pair: { access_token: access, refresh_token: refresh } }
}

const renew = (token: unknown) => post(app, '/api/token/refresh/', { refresh: token })
const verify = (token: unknown) => post(app, '/api/token/verify/', { token })
const blacklist = (token: unknown) => post(app, '/api/token/blacklist/', { refresh: token })

function sendAs (type: string, payload: string | Buffer, url = '/api/token/') {
  return app.inject({ method: 'POST', url, payload, headers: { 'content-type': type } })
}

/** The parts of a form, as browsers write it. */
async function multipart (form: FormData): Promise<[string, Buffer]> {
  const request = new Request('http://localhost', { method: 'POST', body: form })
  return [String(request.headers.get('content-type')), Buffer.from(await request.arrayBuffer())]
}

t.test('POST /api/token/ with a name or an address → 200 {refresh, access}, tokens like any other', async (t) => {
  for (const username of ['ada', 'ADA', ' ada ', 'ada@example.com']) {
    const response = await post(app, '/api/token/', { username, password: PASSWORD, remember: true })
    t.equal(response.statusCode, 200, username)
    t.equal(response.headers['cache-control'], 'no-store')
    t.strictSame(Object.keys(response.json()), ['refresh', 'access'])
  }
  const { access, pair } = await obtained()
  t.match(decode(access).payload, { token_type: 'access', sub: /./, sid: /./ })
  t.strictSame(await tokensAnswer(app, pair), { access: 200, refresh: 200 })
})

t.test('POST /api/token/ as JSON or as either form, with the slash or without → 200', async (t) => {
  const form = new FormData()
  for (const [name, value] of Object.entries(credentials)) form.append(name, value)
  const [type, body] = await multipart(form)
  for (const url of ['/api/token', '/api/token/']) {
    t.equal((await post(app, url, credentials)).statusCode, 200)
    t.equal((await sendAs(FORM, new URLSearchParams({ ...credentials }).toString(), url)).statusCode, 200)
    t.equal((await sendAs(FORM, `username=eve&${new URLSearchParams({ ...credentials })}`, url)).statusCode, 200, 'the last of two values counts')
    t.equal((await sendAs(type, body, url)).statusCode, 200)
  }
})

t.test('POST /api/token/ with a wrong password, an unknown name, a disabled account → 401, all the same', async (t) => {
  await register(app, 'off')
  sql(path, 'UPDATE users SET disabled_at = ? WHERE username = ?', clock.now(), 'off')
  for (const body of [{ username: 'ada', password: 'x' }, { username: 'nobody', password: PASSWORD }, { username: 'off', password: PASSWORD }, { username: 7, password: 1.5 }]) {
    const response = await app.inject({ method: 'POST', url: '/api/token/', payload: body, remoteAddress: newAddress() })
    says(t, response, [401, { detail: 'No active account found with the given credentials' }], JSON.stringify(body))
  }
})

t.test('POST /api/token/ with a password that ends in a space → 200, and 401 without it', async (t) => {
  await register(app, 'spacey', { password: `${PASSWORD} ` })
  t.equal((await post(app, '/api/token/', { username: 'spacey', password: `${PASSWORD} ` })).statusCode, 200)
  t.equal((await post(app, '/api/token/', { username: 'spacey', password: PASSWORD })).statusCode, 401)
})

t.test('POST /api/token/… with fields at fault → 400 with what is wrong, by field', async (t) => {
  const bad: [unknown, string][] = [
    [null, 'This field may not be null.'], ['', 'This field may not be blank.'], [true, 'Not a valid string.'], [['x'], 'Not a valid string.'], [{ $ne: '' }, 'Not a valid string.'],
    ['a\0b', 'Null characters are not allowed.'], ['\ud800', 'Surrogate characters are not allowed: U+D800.']
  ]
  for (const [value, text] of bad) {
    says(t, await post(app, '/api/token/', { username: value, password: value }), [400, { username: [text], password: [text] }])
    says(t, await post(app, '/api/token/', { ...credentials, password: value }), [400, { password: [text] }])
    for (const one of [renew, blacklist]) says(t, await one(value), [400, { refresh: [text] }])
    says(t, await verify(value), [400, { token: [text] }])
  }
  says(t, await renew(' \n'), [400, { refresh: ['This field may not be blank.'] }])
  says(t, await post(app, '/api/token/', {}), [400, { username: [REQUIRED], password: [REQUIRED] }])
  says(t, await app.inject({ method: 'POST', url: '/api/token/' }), [400, { username: [REQUIRED], password: [REQUIRED] }], 'without a body')
  says(t, await post(app, '/api/token/refresh/', { token: 'x' }), [400, { refresh: [REQUIRED] }])
  says(t, await sendAs(FORM, 'username=&pass=x'), [400, { username: ['This field may not be blank.'], password: [REQUIRED] }])
  const form = new FormData()
  form.append('username', 'ada')
  form.append('password', new File([PASSWORD], 'password.txt'))
  says(t, await sendAs(...await multipart(form)), [400, { password: ['Not a valid string.'] }], 'a file')
})

t.test('POST /api/token/ with what is no object → 400 non_field_errors', async (t) => {
  const types = { '[]': 'list', '"x"': 'str', 1: 'int', 1.5: 'float', true: 'bool' }
  for (const [json, type] of Object.entries(types)) {
    says(t, await sendAs('application/json', json), [400, { non_field_errors: [`Invalid data. Expected a dictionary, but got ${type}.`] }])
  }
  says(t, await sendAs('application/json', 'null'), [400, { non_field_errors: ['No data provided'] }])
})

t.test('POST /api/token/ with a body that cannot be read → 400, 413, 415 with a detail, and nothing of it', async (t) => {
  for (const json of ['{', '', '{"username":"sentinel"', '{"__proto__":1}']) says(t, await sendAs('application/json', json), [400, { detail: 'JSON parse error - The body is not valid JSON in UTF-8.' }], json)
  for (const type of ['multipart/form-data', 'multipart/form-data; boundary=x']) says(t, await sendAs(type, 'sentinel'), [400, { detail: 'Malformed request.' }], type)
  for (const type of ['text/plain', 'application/xml', 'application/json; charset=latin1']) says(t, await sendAs(type, '{}'), [415, { detail: 'Unsupported media type in request.' }], type)
  for (const type of ['application/json', FORM]) says(t, await sendAs(type, 'x'.repeat(16_385)), [413, { detail: 'The body is over 16 KiB.' }], type)
})

t.test('POST /api/token/refresh/ → 200 {access, refresh}; a retry gets the same again; used later, it ends the session', async (t) => {
  const { refresh: token, access } = await obtained()
  const first = (await renew(` ${token}\n`)).json()
  t.strictSame(Object.keys(first), ['access', 'refresh'])
  t.not(first.refresh, token)
  t.equal((await renew(token)).json().refresh, first.refresh, 'a retry')
  const second = (await renew(first.refresh)).json()
  says(t, await renew(token), [401, refusal('Token is blacklisted')])
  says(t, await renew(second.refresh), [401, refusal('Token is blacklisted')], 'the thief is caught')
  t.strictSame(await tokensAnswer(app, { access_token: access, refresh_token: second.refresh }), { access: 401, refresh: 401 })
})

t.test('tokens of /login refresh at /api/token/refresh/, and those of /api/token/ at /refresh → 200', async (t) => {
  const there = (await renew((await login(app)).refresh_token)).json()
  const here = (await refresh(app, there.refresh)).json()
  t.equal((await renew(here.refresh_token)).statusCode, 200)
  t.equal((await getPrivate(app, here.access_token)).statusCode, 200)
})

t.test('LATCHKEY_REFRESH_ROTATION=off → POST /api/token/refresh/ gives {access} alone, as without ROTATE_REFRESH_TOKENS', async (t) => {
  const still = await build(t, { path, env: { ...env, LATCHKEY_REFRESH_ROTATION: 'off' }, now: clock.now })
  const { refresh: token } = await obtain(still)
  for (let time = 1; time <= 2; time++) t.strictSame(Object.keys((await post(still, '/api/token/refresh/', { refresh: token })).json()), ['access'])
})

/** A pair whose every token has expired. */
async function expiredPair () {
  const pair = await obtained()
  clock.advance(15 * 86_400_000)
  return pair
}

t.test('POST /api/token/refresh/, /verify/ and /blacklist/ with a token that is none, has expired or is of the other type → 401 token_not_valid', async (t) => {
  const old = await expiredPair()
  const { access, refresh } = await obtained()
  for (const call of [renew, verify, blacklist]) {
    for (const token of ['x', 7, 'a.b.c', `${refresh}x`, `${refresh.slice(0, -6)}AAAAAA`, 'x'.repeat(16_000)]) says(t, await call(token), [401, refusal('Token is invalid')], String(token).slice(-9))
    says(t, await call(old.refresh), [401, refusal('Token is expired')])
    says(t, await call(old.access), [401, refusal('Token is expired')])
  }
  for (const call of [renew, blacklist]) says(t, await call(access), [401, refusal('Token has wrong type')])
  t.strictSame(await tokensAnswer(app, { access_token: access, refresh_token: refresh }), { access: 200, refresh: 200 }, 'nothing has ended')
})

t.test('POST /api/token/… with odd tokens under our own key, some of them a 500 in Simple JWT → never a 5xx', async (t) => {
  const { refresh: token } = await obtained()
  const { header, payload } = decode(token)
  const key = secretsOf(path, env).primary.refresh
  const without = (claim: string) => Object.fromEntries(Object.entries(payload).filter(([name]) => name !== claim))
  const odd = [without('jti'), without('exp'), without('sid'), { ...payload, exp: '9999999999' }, { ...payload, exp: 1e300 }, { ...payload, sid: null }, { ...payload, sub: {} }, 'null', '[]']
  for (const claims of odd) {
    const forged = forge(header, claims, hmac(key))
    t.ok((await verify(forged)).statusCode < 500, JSON.stringify(claims))
    for (const call of [renew, blacklist]) t.ok((await call(forged)).statusCode < 500, JSON.stringify(claims))
  }
})

t.test('POST /api/token/verify/ with a good token of either type → 200 {}, and nothing is used up', async (t) => {
  const { access, refresh, pair } = await obtained()
  for (const token of [access, refresh, access, refresh]) says(t, await verify(token), [200, {}])
  t.strictSame(await tokensAnswer(app, pair), { access: 200, refresh: 200 })
})

t.test('POST /api/token/verify/ with a token whose session is over, or that was replaced → 400 Token is blacklisted', async (t) => {
  const { access, refresh } = await obtained()
  const next = (await renew(refresh)).json().refresh
  says(t, await verify(refresh), [200, {}], 'its answer may have been lost')
  t.equal((await renew(next)).statusCode, 200)
  says(t, await verify(refresh), [400, BLACKLISTED], 'its successor has been used')
  says(t, await verify(access), [200, {}], 'to ask ends nothing')
  await post(app, '/logout', { refresh_token: next })
  for (const token of [access, refresh, next]) says(t, await verify(token), [400, BLACKLISTED])
})

t.test('POST /api/token/refresh/ and /verify/ once the account is disabled, deleted, or has a new password → 401, 400', async (t) => {
  const endings: Record<string, (id: string) => Promise<unknown>> = {
    disabled: async (id) => sql(path, 'UPDATE users SET disabled_at = ? WHERE id = ?', clock.now(), id),
    deleted: async (id) => [sql(path, 'DELETE FROM sessions WHERE user_id = ?', id), sql(path, 'DELETE FROM users WHERE id = ?', id)],
    'new-password': async () => {
      const { access_token: token } = await login(app, 'new-password')
      await app.inject({ method: 'POST', url: '/password', payload: { current_password: PASSWORD, new_password: `${PASSWORD}!` }, headers: bearer(token) })
    }
  }
  for (const [username, end] of Object.entries(endings)) {
    const { id } = await register(app, username)
    const { refresh, access } = await obtain(app, { username, password: PASSWORD })
    await end(id)
    says(t, await renew(refresh), [401, refusal('Token is blacklisted')], username)
    for (const token of [refresh, access]) says(t, await verify(token), [400, BLACKLISTED], username)
  }
})

t.test('POST /api/token/blacklist/ → 200 {}, and the session is over at once; the second time 401', async (t) => {
  const { refresh, pair } = await obtained()
  says(t, await blacklist(refresh), [200, {}])
  t.strictSame(await tokensAnswer(app, pair), { access: 401, refresh: 401 })
  says(t, await blacklist(refresh), [401, refusal('Token is blacklisted')])
})

t.test('POST /api/token/blacklist/ with a token that has expired or was used → 401, and the session is over all the same', async (t) => {
  const { refresh } = await obtained()
  const second = (await renew(refresh)).json()
  const third = (await renew(second.refresh)).json()
  says(t, await blacklist(refresh), [401, refusal('Token is blacklisted')])
  says(t, await verify(third.access), [400, BLACKLISTED])
  const old = await obtained()
  clock.advance(13 * 86_400_000)
  const { refresh: newest } = (await renew(old.refresh)).json()
  clock.advance(2 * 86_400_000)
  says(t, await verify(newest), [200, {}])
  says(t, await blacklist(old.refresh), [401, refusal('Token is expired')])
  says(t, await verify(newest), [400, BLACKLISTED])
})

t.test('/api/token/… with another method → 405 with Allow; a path where nothing is → 404; both with a detail', async (t) => {
  for (const url of ['/api/token', '/api/token/', '/api/token/refresh/', '/api/token/verify', '/api/token/blacklist/?x=1']) {
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH'] as const) {
      const response = await app.inject({ method, url })
      says(t, response, [405, { detail: `Method "${method}" not allowed.` }], `${method} ${url}`)
      t.equal(response.headers.allow, 'POST')
    }
  }
  for (const url of ['/api/token/nothing/', '/api/token/refresh/x']) says(t, await app.inject({ method: 'POST', url }), [404, { detail: 'Not found.' }], url)
})

t.test('beside it every other route keeps its form', async (t) => {
  isProblem(t, await app.inject('/api/tokens'), 'not_found')
  isProblem(t, await app.inject('/login'), 'method_not_allowed')
  isProblem(t, await post(app, '/login', {}), 'invalid_request')
  isProblem(t, await sendAs(FORM, 'username=ada', '/login'), 'unsupported_media_type')
  isProblem(t, await post(app, '/login', { username: 'nobody', password: PASSWORD }), 'invalid_credentials')
  isProblem(t, await app.inject('/private'), 'missing_token')
})

t.test('LATCHKEY_SIMPLE_JWT=off, which it is → 404 not_found', async (t) => {
  const without = await build(t, { path })
  for (const url of ['/api/token/', '/api/token/refresh/', '/api/token/verify/', '/api/token/blacklist/']) isProblem(t, await post(without, url, credentials), 'not_found')
})

t.test('LATCHKEY_SIMPLE_JWT_PREFIX → 200 there, and 404 where it was', async (t) => {
  const elsewhere = await build(t, { path, env: { ...env, LATCHKEY_SIMPLE_JWT_PREFIX: '/auth/jwt' }, now: clock.now })
  const response = await post(elsewhere, '/auth/jwt/', credentials)
  t.equal(response.statusCode, 200)
  t.equal((await post(elsewhere, '/auth/jwt/refresh/', { refresh: response.json().refresh })).statusCode, 200)
  isProblem(t, await post(elsewhere, '/api/token/', credentials), 'not_found')
})

t.test('LATCHKEY_SIMPLE_JWT_PREFIX may be no path of ours', async (t) => {
  const paths = Object.keys(contract.paths).filter((path) => !path.startsWith('/api/token'))
  t.ok(paths.length > 10)
  for (const taken of [...paths, '/docs', '/openapi.json', '/openapi.yaml']) t.throws(() => loadConfig({ LATCHKEY_SIMPLE_JWT_PREFIX: taken }), taken)
})

t.test('POST /api/token/ to two hosts → 400 with a detail', async (t) => {
  const answer = await exchange(await app.listen({ port: 0, host: '127.0.0.1' }), 'POST /api/token/ HTTP/1.1\r\nhost: a\r\nhost: b\r\ncontent-length: 0\r\n\r\n')
  t.match(answer, /^HTTP\/1\.1 400 .*\r\n\r\n\{"detail":"Malformed request\."\}$/s)
})

t.test('POST /api/token/ beyond the limit of logins, or after too many wrong passwords → 429 with Retry-After, and how long in words', async (t) => {
  const limited = await build(t, { path, env: { ...env, LATCHKEY_RATE_LIMIT: 'login=6/1m, refresh=1/1s' }, now: clock.now })
  const from = newAddress()
  const attempt = (body: object, url = '/api/token/') => limited.inject({ method: 'POST', url, payload: body, remoteAddress: from })
  for (let i = 1; i <= 5; i++) t.equal((await attempt({ username: 'guessed', password: 'x' })).statusCode, 401)
  isThrottled(t, await attempt({ username: 'guessed', password: 'x' }))
  isThrottled(t, await attempt(credentials))
  isProblem(t, await attempt(credentials, '/login'), 'too_many_requests', 'it is one limit for both')
  t.equal((await attempt({ refresh: 'x' }, '/api/token/refresh/')).statusCode, 401)
  const one = await attempt({ refresh: 'x' }, '/api/token/blacklist/')
  isThrottled(t, one)
  t.match(one.json().detail, / 1 second\.$/)
})

function isThrottled (t: Test, response: LightMyRequestResponse) {
  const wait = Number(response.headers['retry-after'])
  t.ok(wait > 0 && wait <= 60)
  says(t, response, [429, { detail: `Request was throttled. Expected available in ${wait} second${wait === 1 ? '' : 's'}.` }])
}

t.test('POST /api/token/… while the service has too much to do, or no database → 503 with Retry-After and a detail', async (t) => {
  const busy = { detail: 'Service temporarily unavailable, try again later.' }
  const release = fillQueue(app)
  const overloaded = await post(app, '/api/token/', credentials)
  release()
  says(t, overloaded, [503, busy])
  t.equal(overloaded.headers['retry-after'], '1')
  const { refresh, pair } = await obtained()
  const mend = failWrites(path, 'sessions', 'generation')
  const unavailable = await renew(refresh)
  mend()
  says(t, unavailable, [503, busy])
  t.equal(unavailable.headers['retry-after'], '5')
  t.strictSame(await tokensAnswer(app, pair), { access: 200, refresh: 200 }, 'and the token is as good as before')
})

t.test('POST /api/token/ when something breaks here → 500 A server error occurred.', async (t) => {
  t.intercept(app.db.store, 'findUserByUsername', { value: () => { throw new Error('sentinel') } })
  says(t, await post(app, '/api/token/', credentials), [500, { detail: 'A server error occurred.' }])
})

t.test('POST /api/token/ from a page of an allowed origin → 200 with CORS, after its preflight: 204', async (t) => {
  const headers = { origin: 'https://app.example.com' }
  const preflight = await app.inject({ method: 'OPTIONS', url: '/api/token/', headers: { ...headers, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' } })
  t.match(preflight, { statusCode: 204, headers: { 'access-control-allow-origin': headers.origin, 'access-control-allow-methods': /POST/ } })
  t.equal((await post(app, '/api/token/', credentials, headers)).headers['access-control-allow-origin'], headers.origin)
})

t.test('logins, refreshes, reuse and logouts by this wire are in the audit and in the metrics like all others', async (t) => {
  const path = folder(t)
  const counting = await build(t, { path, env: { ...env, LATCHKEY_METRICS: '127.0.0.1:0' } })
  await register(counting)
  const { refresh } = await obtain(counting)
  const call = async (url: string, token: string) => (await post(counting, `/api/token/${url}/`, { refresh: token })).json().refresh
  const second = await call('refresh', refresh)
  await call('refresh', await call('refresh', second))
  await call('refresh', refresh)
  await call('blacklist', (await obtain(counting)).refresh)
  await post(counting, '/api/token/', { username: 'ada', password: 'x' })
  const events = (await counting.db.store.listAuditEvents({ userId: null, event: null, since: 0 }, '', 100)).map(({ event }) => event)
  for (const event of ['authn_login_success', 'session_created', 'authn_token_reuse', 'session_logout', 'authn_login_fail']) t.ok(events.includes(event), event)
  const shown = await counting.metrics?.registry.metrics()
  t.match(shown, /latchkey_logins_total\{outcome="logged_in"\} 2/)
  t.match(shown, /latchkey_refreshes_total\{step="reuse"\} 1/)
  t.match(shown, /route="\/api\/token"/)
})

t.test('a front end written for Simple JWT: register, log in, call, refresh on 401, log out, and not a line of it is changed', async (t) => {
  const now = fakeClock(Date.now())
  const service = await build(t, { env: { LATCHKEY_SIMPLE_JWT: 'on' }, now: now.now })
  const base = await service.listen({ port: 0, host: '127.0.0.1' })
  const json = { 'Content-Type': 'application/json' }
  const tokens: { access?: string, refresh?: string } = {}

  const send = (url: string, body: object) => fetch(base + url, { method: 'POST', headers: json, body: JSON.stringify(body) })
  async function callPrivate (): Promise<Response> {
    const response = await fetch(`${base}/private/`, { headers: { Authorization: `Bearer ${tokens.access}` } })
    if (response.status !== 401 || tokens.refresh === undefined) return response
    const refreshed = await send('/api/token/refresh/', { refresh: tokens.refresh })
    if (!refreshed.ok) return response
    Object.assign(tokens, await refreshed.json())
    return callPrivate()
  }

  const registered = await send('/register/', { username: 'renan', password: PASSWORD, email: 'renan@example.com' })
  t.equal(registered.status, 201)
  t.match(await registered.json(), { username: 'renan', email: 'renan@example.com' })
  t.equal((await fetch(`${base}/private/`)).status, 401)
  t.match(await (await send('/api/token/', { username: 'renan', password: 'wrong' })).json(), { detail: 'No active account found with the given credentials' })
  Object.assign(tokens, await (await send('/api/token/', { username: 'renan', password: PASSWORD })).json())
  t.strictSame(await (await callPrivate()).json(), { message: 'Access Granted!' })
  const { access } = tokens
  now.advance(3_600_000)
  t.strictSame(await (await callPrivate()).json(), { message: 'Access Granted!' })
  t.not(tokens.access, access, 'it was refreshed on the way')
  t.equal((await send('/api/token/blacklist/', { refresh: tokens.refresh })).status, 200)
  t.equal((await callPrivate()).status, 401)
})
