import t from 'tap'
import { isProblem } from '../fixtures/accounts.ts'
import { build, registerAndLogin, getPrivate } from '../fixtures/app.ts'

const app = await build(t)

const PAGES = ['/docs', '/docs/', '/docs/static/index.css', '/docs/static/swagger-ui.css', '/docs/static/swagger-ui-bundle.js', '/docs/static/swagger-initializer.js', '/docs/static/theme/icon.svg', '/docs/static/theme/phone.js']

t.test('GET /docs, and what it is made of → 200, under a policy that lets this host\'s own scripts run and nothing else', async (t) => {
  for (const url of PAGES) {
    const { statusCode, headers, body } = await app.inject(url)
    t.equal(statusCode, 200, url)
    const policy = Object.fromEntries(String(headers['content-security-policy']).split(';').map((one) => one.trim()).filter((one) => one !== '').map((one) => one.split(/ (.*)/s).slice(0, 2)))
    t.strictSame(policy, {
      'default-src': "'none'",
      'script-src': "'self'",
      'style-src': "'self' 'unsafe-inline'",
      'img-src': "'self' data:",
      'font-src': "'self' data:",
      'connect-src': "'self'",
      'frame-ancestors': "'none'"
    }, url)
    t.match(headers, { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' })
    if (/html/.test(String(headers['content-type']))) t.notMatch(body, /(src|href)="(https?:)?\/\//, 'nothing comes from elsewhere')
  }
})

t.test('LATCHKEY_DOCS=off → 404 for all of it, and the service works as ever: 200', async (t) => {
  const app = await build(t, { env: { LATCHKEY_DOCS: 'off' } })
  for (const url of [...PAGES, '/docs/json', '/docs/yaml', '/openapi.json', '/openapi.yaml', '/openapi.json/']) {
    for (const method of ['GET', 'POST'] as const) isProblem(t, await app.inject({ method, url }), 'not_found', `${method} ${url}`)
  }
  t.equal((await getPrivate(app, (await registerAndLogin(app)).access_token)).statusCode, 200)
})

t.test('GET /openapi.json, /openapi.yaml again → 200 with the same bytes, which are made once', async (t) => {
  const app = await build(t)
  const made = t.capture(app, 'swagger', app.swagger)
  for (const url of ['/openapi.json', '/openapi.yaml']) {
    const [first, ...others] = await Promise.all([1, 2, 3].map(() => app.inject(url)))
    t.equal(first?.statusCode, 200)
    for (const other of others) t.ok(first?.rawPayload.equals(other.rawPayload))
    t.equal(made().length, 1)
  }
})
