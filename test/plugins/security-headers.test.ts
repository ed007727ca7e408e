import Fastify, { type LightMyRequestResponse } from 'fastify'
import t from 'tap'
import securityHeaders from '../../plugins/security-headers.ts'
import { bearer, build, post, registerAndLogin } from '../fixtures/app.ts'
import { captureLog } from '../fixtures/refresh.ts'
import { exchange, get } from '../fixtures/socket.ts'

const app = await build(t)
const { access_token: token } = await registerAndLogin(app)

/** What is told of every answer, and nothing that is not meant for one like it. */
const told = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-site',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff'
}

function securityHeadersOf ({ headers }: LightMyRequestResponse) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => /^(x-(?!request-id)|cross-origin|content-security|referrer|strict|origin-agent|permissions)/.test(name)))
}

t.test('every answer → a policy under which nothing runs, is framed, is sniffed or leaks: 200, 201, 204, 400, 401, 404, 405, 413, 415', async (t) => {
  const large = { method: 'POST' as const, url: '/login', payload: 'x'.repeat(20_000) }
  const answers = [
    await app.inject({ url: '/private', headers: bearer(token) }), await post(app, '/register', { username: 'bob', password: 'correct horse battery staple' }),
    await post(app, '/logout', { refresh_token: 'x' }), await post(app, '/login', {}), await app.inject('/private'), await app.inject('/nothing'), await app.inject('/login'),
    await app.inject({ ...large, headers: { 'content-type': 'application/json' } }), await app.inject({ ...large, headers: { 'content-type': 'text/plain' } }),
    await app.inject('/.well-known/jwks.json'), await app.inject('/livez'), await app.inject('/openapi.json')
  ]
  t.strictSame(answers.map(({ statusCode }) => statusCode), [200, 201, 204, 400, 401, 404, 405, 413, 415, 200, 200, 200])
  for (const answer of answers) t.strictSame(securityHeadersOf(answer), told)
})

t.test('what Node or the router refuses → 400, 404, not sniffed either', async (t) => {
  await app.listen({ port: 0, host: '127.0.0.1' })
  for (const request of [get('/%zz'), get(`/sessions/${'a'.repeat(200)}`).replace('GET', 'DELETE'), 'sentinel\r\n\r\n']) {
    t.match(await exchange(app.listeningOrigin, request), /^HTTP\/1.1 40[04] [^]*x-content-type-options: nosniff\r\n/i)
  }
})

t.test('Cross-Origin-Opener-Policy: same-origin → on the page of /docs, where the service is reached by https, and there alone', async (t) => {
  const secure = await build(t, { env: { LATCHKEY_PUBLIC_URL: 'https://auth.example.com' } })
  const policyOf = async (on: typeof app, url: string) => (await on.inject(url)).headers['cross-origin-opener-policy']
  for (const url of ['/docs', '/docs/static/index.html']) {
    t.equal(await policyOf(secure, url), 'same-origin', url)
    t.equal(await policyOf(app, url), undefined, `${url} over http`)
  }
  t.equal(await policyOf(secure, '/private'), undefined)
})

t.test('a public URL of http → one warning at the start, but not on localhost, and not of https', async (t) => {
  for (const [url, warnings] of [
    ['http://auth.example.com', 1], ['http://localhost.example.com', 1], ['http://10.0.0.1:3000', 1],
    ['https://auth.example.com', 0], ['http://localhost:3000', 0], ['http://127.0.0.1', 0], ['http://[::1]:3000', 0]
  ] as const) {
    const log = Fastify({ logger: { level: 'silent' } })
    const lines = captureLog(t, log)
    await log.register(securityHeaders, { publicUrl: url })
    t.equal(lines.length, warnings, url)
    if (warnings > 0) t.match(lines, [{ level: 40, msg: /^LATCHKEY_PUBLIC_URL is http: / }])
  }
})

t.test('Strict-Transport-Security → where the service is reached by https, and there alone', async (t) => {
  for (const url of ['http://localhost:3000', 'http://auth.example.com', 'http://https.example']) {
    const app = await build(t, { env: { LATCHKEY_PUBLIC_URL: url } })
    t.notOk('strict-transport-security' in (await app.inject({ url: '/livez', headers: { 'x-forwarded-proto': 'https' } })).headers, url)
  }
  const secure = await build(t, { env: { LATCHKEY_PUBLIC_URL: 'https://auth.example.com' } })
  for (const url of ['/livez', '/docs', '/private']) {
    t.match((await secure.inject(url)).headers, { 'strict-transport-security': 'max-age=31536000; includeSubDomains' }, url)
  }
})
