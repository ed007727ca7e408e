import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { createFirsts } from '../src/rate-limits.ts'
import { bearer, build, newAddress, PASSWORD, registerAndLogin } from './fixtures/app.ts'
import { isProblem, lasting } from './fixtures/accounts.ts'
import { exchange } from './fixtures/socket.ts'
import { listen, times } from './fixtures/sockets.ts'
import { adjustableClocks } from './fixtures/timers.ts'

const LIMITS = { default: 6, register: 2, login: 4, refresh: 3, password: 1 }
const env = { LATCHKEY_RATE_LIMIT: Object.entries(LIMITS).map(([name, max]) => `${name}=${max}/1m`).join() }
const app = await build(t, { env })
const { access_token: token } = await registerAndLogin(app)

/** What costs as little as possible of each kind; most of it is refused, and counts all the same. */
const calls = {
  default: { method: 'GET', url: '/private' },
  register: { method: 'POST', url: '/register' },
  login: { method: 'POST', url: '/login' },
  refresh: { method: 'POST', url: '/refresh' },
  password: { method: 'POST', url: '/password' }
} as const
const names = Object.keys(calls) as (keyof typeof calls)[]

const call = (name: keyof typeof calls, remoteAddress: string) => app.inject({ ...calls[name], remoteAddress })

function isLimited (t: Test, response: LightMyRequestResponse, about = '429 too_many_requests') {
  isProblem(t, response, 'too_many_requests', about)
  t.equal(response.headers['retry-after'], String(response.headers['ratelimit-reset']), about)
}

for (const name of names) {
  const { method, url } = calls[name]
  t.test(`${method} ${url} more often than its limit says → 429 too_many_requests with Retry-After; other limits and addresses are untouched`, async (t) => {
    const from = newAddress()
    for (let left = LIMITS[name] - 1; left >= 0; left--) {
      const { statusCode, headers } = await call(name, from)
      t.not(statusCode, 429)
      t.match(headers, { 'ratelimit-limit': String(LIMITS[name]), 'ratelimit-remaining': String(left) })
      t.ok(Number(headers['ratelimit-reset']) > 0 && Number(headers['ratelimit-reset']) <= 60)
      t.notOk('retry-after' in headers)
    }
    const limited = await call(name, from)
    isLimited(t, limited)
    t.match(limited.headers, { 'ratelimit-limit': String(LIMITS[name]), 'ratelimit-remaining': '0', 'retry-after': /^([1-9]|[1-5]\d|60)$/ })
    isLimited(t, await call(name, from), 'and again')
    for (const other of names.filter((one) => one !== name)) t.not((await call(other, from)).statusCode, 429, other)
    t.not((await call(name, newAddress())).statusCode, 429)
  })
}

t.test('whatever has no limit of its own shares one: other routes, HEAD, paths where nothing is, wrong methods → 429; health has none → 200', async (t) => {
  const from = newAddress()
  const shared = [
    { url: '/me' }, { method: 'HEAD', url: '/private' }, { url: '/nothing' }, { url: '/login' }, { method: 'POST', url: '/logout/all' }, { url: '/.well-known/jwks.json' }, { url: '/private' }
  ] as const
  t.equal(shared.length, LIMITS.default + 1)
  for (const [i, one] of shared.entries()) {
    const { statusCode, headers } = await app.inject({ ...one, remoteAddress: from })
    t.equal(headers['ratelimit-remaining'], String(Math.max(0, LIMITS.default - 1 - i)), one.url)
    t.equal(statusCode === 429, i === LIMITS.default)
  }
  const head = await app.inject({ method: 'HEAD', url: '/private', remoteAddress: from })
  t.match(head, { statusCode: 429, body: '' })
  for (const url of ['/livez', '/readyz']) {
    const { statusCode, headers } = await app.inject({ url, remoteAddress: from })
    t.equal(statusCode, 200)
    t.notOk('ratelimit-limit' in headers)
  }
})

t.test('POST /login over the limit → 429 before anything of it is read, in one form for all', async (t) => {
  const from = newAddress()
  for (let i = 0; i < LIMITS.login; i++) await call('login', from)
  const limited = formOf(await call('login', from))
  const options = { method: 'POST', url: '/login', remoteAddress: from } as const
  for (const more of [
    { payload: { username: 'ada', password: PASSWORD } }, { payload: { username: 'nobody', password: PASSWORD } }, { payload: '{' },
    { payload: 'x'.repeat(100_000), headers: { 'content-type': 'text/plain' } }, { headers: bearer(token) }
  ]) t.strictSame(formOf(await app.inject({ ...options, ...more })), limited)

  function formOf (response: LightMyRequestResponse) {
    const { headers: { 'retry-after': wait, ...headers }, ...answer } = lasting(response)
    return { ...answer, headers }
  }
})

t.test('POST /password over the limit with a good token → 429 before the token is looked at', async (t) => {
  const from = newAddress()
  await call('password', from)
  isLimited(t, await app.inject({ ...calls.password, remoteAddress: from, headers: bearer(token), payload: { current_password: PASSWORD, new_password: PASSWORD } }))
})

t.test('addresses of one /64 of IPv6 are one client, and so are both forms of an IPv4 address → 429', async (t) => {
  for (let i = 0; i < LIMITS.login; i++) t.not((await call('login', `2001:db8:0:9:${i}::1`)).statusCode, 429)
  isLimited(t, await call('login', '2001:db8:0:9:ffff::2'))
  isLimited(t, await call('login', '2001:0DB8:0000:0009::3'))
  t.not((await call('login', '2001:db8:0:a::1')).statusCode, 429)

  for (const from of ['198.51.100.1', '::ffff:198.51.100.1', '::ffff:c633:6401', '0:0:0:0:0:FFFF:198.51.100.1']) t.not((await call('login', from)).statusCode, 429)
  for (const from of ['198.51.100.1', '::ffff:198.51.100.1']) isLimited(t, await call('login', from), from)
  t.not((await call('login', '::ffff:198.51.100.2')).statusCode, 429)
  t.not((await call('login', 'fe80::1%eth0')).statusCode, 429, 'a zone is no fault')
})

t.test('X-Forwarded-For from whoever is no proxy of ours → one address: 429', async (t) => {
  const from = newAddress()
  const statuses = []
  for (let i = 0; i <= LIMITS.login; i++) {
    const headers = { 'x-forwarded-for': `203.0.113.${i}`, forwarded: `for=203.0.113.${i}`, 'x-real-ip': `203.0.113.${i}`, 'cf-connecting-ip': `203.0.113.${i}` }
    statuses.push((await app.inject({ ...calls.login, remoteAddress: from, headers })).statusCode)
  }
  t.strictSame(statuses, [...times(LIMITS.login, () => 400), 429])
})

t.test('X-Forwarded-For from LATCHKEY_TRUST_PROXY → the address that the proxy has seen counts, not what the client put before it: 429', async (t) => {
  const behind = await build(t, { env: { ...env, LATCHKEY_TRUST_PROXY: '10.1.0.0/16' } })
  const via = (forwarded: string, remoteAddress = '10.1.2.3') => behind.inject({ ...calls.login, remoteAddress, headers: { 'x-forwarded-for': forwarded } })
  for (let i = 0; i < LIMITS.login; i++) t.not((await via(`203.0.113.${i}, 198.51.100.7`)).statusCode, 429)
  isLimited(t, await via('192.0.2.1, 198.51.100.7'))
  isLimited(t, await via('198.51.100.7'))
  isLimited(t, await via('192.0.2.1, 198.51.100.7, 10.1.9.9'), 'through two proxies')
  isLimited(t, await behind.inject({ ...calls.login, remoteAddress: '198.51.100.7' }), 'without a proxy')
  t.not((await via('198.51.100.8')).statusCode, 429)
  t.not((await via('198.51.100.7', '10.2.0.1')).statusCode, 429, 'another address is no proxy')
})

t.test('POST /login by another spelling of its path → the same limit, or no login at all: 429, 404', async (t) => {
  const own = await build(t, { env: { LATCHKEY_RATE_LIMIT: `login=${LIMITS.login}/1m` } })
  await listen(own)
  const body = '{}'
  const send = (path: string) => exchange(own.listeningOrigin, [
    `POST ${path} HTTP/1.1`, 'Host: localhost', 'Connection: close', 'Content-Type: application/json', `Content-Length: ${body.length}`, '', body
  ].join('\r\n'))
  const same = ['/login', '/login/', '/%6cogin', '/login?x=1', '/login#x', 'http://localhost/login']
  for (const path of same.slice(0, LIMITS.login)) t.match(await send(path), /^HTTP\/1.1 400 /, path)
  for (const path of same) t.match(await send(path), /^HTTP\/1.1 429 [^]*too_many_requests/, path)
  for (const path of ['//login', '/./login', '/login//', '/LOGIN', '/x/../login', '/login;x', '/login/.', '/%2flogin', '/%2Flogin']) t.match(await send(path), /^HTTP\/1.1 404 [^]*not_found/, path)
})

t.test('OPTIONS counts like any other call → 405, then 429; a preflight of LATCHKEY_CORS_ORIGINS is answered before that: 204', async (t) => {
  const from = newAddress()
  const preflight = { method: 'OPTIONS', url: '/login', remoteAddress: from, headers: { origin: 'https://app.example.com', 'access-control-request-method': 'POST' } } as const
  for (let i = 0; i < LIMITS.default; i++) t.equal((await app.inject(preflight)).statusCode, 405)
  isLimited(t, await app.inject(preflight))
  t.not((await call('login', from)).statusCode, 429)

  const pages = await build(t, { env: { ...env, LATCHKEY_CORS_ORIGINS: 'https://app.example.com' } })
  for (let i = 0; i <= LIMITS.default; i++) t.match(await pages.inject(preflight), { statusCode: 204, headers: { 'ratelimit-limit': undefined } })
  const { 'access-control-request-method': _, ...none } = preflight.headers
  for (let i = 0; i < LIMITS.default; i++) t.equal((await pages.inject({ ...preflight, headers: none })).statusCode, 405)
  isLimited(t, await pages.inject({ ...preflight, headers: none }), 'what is no preflight')
})

t.test('a limit whose time is over begins anew → 429, then as before', async (t) => {
  const putForward = adjustableClocks(t)
  const from = newAddress()
  const statuses = async () => {
    const found = []
    for (let i = 0; i <= LIMITS.login; i++) found.push((await call('login', from)).statusCode)
    return found
  }
  const once = [...times(LIMITS.login, () => 400), 429]
  t.strictSame(await statuses(), once)
  putForward(30_000)
  const waiting = await call('login', from)
  isLimited(t, waiting)
  t.ok(Number(waiting.headers['retry-after']) <= 30)
  putForward(30_000)
  t.strictSame(await statuses(), once)
})

t.test('LATCHKEY_RATE_LIMIT=off → no limit and no word of one', async (t) => {
  const free = await build(t, { env: { LATCHKEY_RATE_LIMIT: 'off' } })
  for (let i = 0; i < 70; i++) {
    const { statusCode, headers } = await free.inject({ ...calls.login, remoteAddress: '::ffff:192.0.2.1' })
    if (statusCode !== 400) throw new Error(`${i}: ${statusCode}`)
    t.strictSame(Object.keys(headers).filter((name) => name.startsWith('ratelimit')), [])
  }
})

t.test('limits that are not set are the usual ones', async (t) => {
  const usual = await build(t, { env: { LATCHKEY_RATE_LIMIT: '' } })
  const found = await Promise.all(names.map(async (name) => [name, (await usual.inject(calls[name])).headers['ratelimit-limit']]))
  t.strictSame(Object.fromEntries(found), { default: '1000', register: '20', login: '60', refresh: '300', password: '20' })
})

t.test('the first excess of a window is the first until the window is over, for each key', async (t) => {
  const isFirst = createFirsts(10)
  t.strictSame([isFirst('a', 100, 0), isFirst('a', 100, 0), isFirst('a', 40, 60), isFirst('a', 1, 99)], [true, false, false, false])
  t.strictSame([isFirst('b', 10, 50), isFirst('a', 100, 100), isFirst('a', 1, 199), isFirst('b', 10, 200)], [true, true, false, true])
})

t.test('no more keys are remembered than were asked for; then one may be told again', async (t) => {
  const isFirst = createFirsts(3)
  t.strictSame(['a', 'b', 'c', 'a', 'b', 'c'].map((key) => isFirst(key, 100, 0)), [true, true, true, false, false, false])
  t.strictSame(['d', 'd', 'a', 'd'].map((key) => isFirst(key, 100, 0)), [true, false, true, false])
})
