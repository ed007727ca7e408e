import t from 'tap'
import { isProblem } from '../fixtures/accounts.ts'
import { build, folder, login, post, registerAndLogin } from '../fixtures/app.ts'
import { operations, resources } from '../fixtures/operations.ts'

const APP = 'https://app.example.com'
const OTHER_APP = 'http://localhost:5173'
const strangers = ['https://evil.example', 'null', '', '*', `${APP}/`, APP.toUpperCase(), `${APP}:443`, `${APP}.evil.example`, `${APP}, ${APP}`, 'http://app.example.com', 'https://sub.app.example.com', 'http://localhost']
const EXPOSED = 'Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, WWW-Authenticate, X-Request-Id'

const path = folder(t)
const app = await build(t, { path, env: { LATCHKEY_CORS_ORIGINS: `${APP},${OTHER_APP}`, LATCHKEY_RATE_LIMIT: 'login=1/1m' } })
const off = await build(t, { path })

const preflight = (origin: string, method = 'POST') =>
  ({ origin, 'access-control-request-method': method, 'access-control-request-headers': 'authorization,content-type,x-other' })

t.test('without LATCHKEY_CORS_ORIGINS → no header for any origin, and a preflight → 405', async (t) => {
  for (const origin of [APP, ...strangers]) {
    const answer = await off.inject({ url: '/private', headers: { origin } })
    isProblem(t, answer, 'missing_token')
    t.strictSame(Object.keys(answer.headers).filter((name) => /^(access-control|vary)/.test(name)), [], origin)
    isProblem(t, await off.inject({ method: 'OPTIONS', url: '/login', headers: preflight(origin) }), 'method_not_allowed')
  }
})

for (const { name, method, url } of operations) {
  t.test(`${name} from a listed origin → its answer, which that page may read; from another → its answer, which no page may`, async (t) => {
    for (const origin of [APP, OTHER_APP]) {
      const { headers } = await app.inject({ method, url, headers: { origin } })
      t.match(headers, { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true', 'access-control-expose-headers': EXPOSED, vary: 'Origin' })
    }
    for (const origin of strangers) {
      const { headers } = await app.inject({ method, url, headers: { origin } })
      t.notOk('access-control-allow-origin' in headers, origin)
      t.equal(headers.vary, 'Origin', 'a cache must not give it to the other')
    }
    t.match((await app.inject({ method, url })).headers, { vary: 'Origin', 'access-control-allow-origin': undefined })
  })
}

t.test('a problem can be read by a listed origin, whatever it is: 400, 401, 404, 405, 413, 415, 429', async (t) => {
  await registerAndLogin(off)
  const headers = { origin: APP }
  const answers = [
    await post(app, '/register', {}, headers), await app.inject({ url: '/private', headers }), await app.inject({ url: '/nothing', headers }), await app.inject({ url: '/login', headers }),
    await app.inject({ method: 'POST', url: '/register', payload: 'x'.repeat(20_000), headers: { ...headers, 'content-type': 'application/json' } }),
    await app.inject({ method: 'POST', url: '/register', payload: 'x', headers: { ...headers, 'content-type': 'text/plain' } }),
    await post(app, '/login', {}, headers)
  ]
  t.strictSame(answers.map(({ statusCode }) => statusCode), [400, 401, 404, 405, 413, 415, 429])
  for (const answer of answers) t.match(answer.headers, { 'access-control-allow-origin': APP, vary: 'Origin' })
})

for (const { url } of resources) {
  t.test(`a preflight of a listed origin for ${url} → 204 with what is allowed; of another → 204 with no leave`, async (t) => {
    for (const method of ['POST', 'DELETE', 'PUT']) {
      const answer = await app.inject({ method: 'OPTIONS', url, headers: preflight(APP, method) })
      t.equal(answer.statusCode, 204)
      t.equal(answer.body, '')
      t.match(answer.headers, {
        'access-control-allow-origin': APP,
        'access-control-allow-credentials': 'true',
        'access-control-allow-methods': 'GET, HEAD, POST, DELETE',
        'access-control-allow-headers': 'Authorization, Content-Type',
        'access-control-max-age': '600',
        vary: 'Origin'
      })
    }
    for (const origin of strangers.filter((one) => one !== '')) {
      const { headers } = await app.inject({ method: 'OPTIONS', url, headers: preflight(origin) })
      t.notOk('access-control-allow-origin' in headers, origin)
      t.equal(headers.vary, 'Origin')
    }
  })
}

t.test('OPTIONS that is no preflight → 405 with Allow; where nothing is → 404', async (t) => {
  for (const headers of [{}, { origin: APP }, { 'access-control-request-method': 'POST' }]) {
    const answer = await app.inject({ method: 'OPTIONS', url: '/register', headers })
    isProblem(t, answer, 'method_not_allowed')
    t.equal(answer.headers.allow, 'POST')
    isProblem(t, await app.inject({ method: 'OPTIONS', url: '/nothing', headers }), 'not_found')
  }
})

t.test('CORS is no guard: without Origin, or from a stranger, a call does what it does → 200', async (t) => {
  const { access_token: token } = await login(off)
  for (const origin of [undefined, 'https://evil.example']) {
    const answer = await app.inject({ url: '/private', headers: { authorization: `Bearer ${token}`, ...(origin && { origin }) } })
    t.equal(answer.statusCode, 200)
  }
})
