import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { isInvalid, isProblem, select, tokensAnswer } from '../fixtures/accounts.ts'
import { build, fakeClock, folder, getPrivate, login, PASSWORD, post, refresh, register } from '../fixtures/app.ts'
import { rowOf } from '../fixtures/refresh.ts'

const OWN = 'http://localhost:3000'
const APP = 'http://localhost:5173'
const NAME = 'latchkey'
const MONTH_S = 30 * 86_400

const path = folder(t)
const clock = fakeClock()
const app = await build(t, { path, now: clock.now, env: { LATCHKEY_COOKIES: 'on', LATCHKEY_CORS_ORIGINS: APP, LATCHKEY_SESSION_IDLE: '30d' } })
const off = await build(t)
for (const one of [app, off]) await register(one)

const credentials = { username: 'ada', password: PASSWORD }
const ownPage = { origin: OWN, 'sec-fetch-site': 'same-origin' }
const siblingPage = { origin: APP, 'sec-fetch-site': 'same-site' }

const cookieLogin = (headers: Record<string, string> = ownPage) => post(app, '/login', { ...credentials, transport: 'cookie' }, headers)

/** A POST without a body, as a page sends it whose cookie holds `token`. */
function send (url: string, token: string | undefined, headers: Record<string, string> = ownPage) {
  return app.inject({ method: 'POST', url, headers, ...(token !== undefined && { cookies: { [NAME]: token } }) })
}

/** The refresh token of the cookie that an answer sets; that it does, and how, is asserted. */
function kept (t: Test, response: LightMyRequestResponse, name = NAME): string {
  const [cookie, ...more] = response.cookies
  t.strictSame(more, [], 'one cookie')
  t.match(cookie, { name, httpOnly: true, sameSite: 'Strict', path: '/' })
  t.notMatch(String(response.headers['set-cookie']), /domain/i, 'this host alone')
  return cookie?.value ?? ''
}

/** An answer with an access token, and no refresh token but in its cookie. */
function isCookieAnswer (t: Test, response: LightMyRequestResponse, name = NAME) {
  t.equal(response.statusCode, 200)
  t.strictSame(Object.keys(response.json()).sort(), ['access_token', 'expires_in', 'refresh_expires_in', 'token_type'])
  const token = kept(t, response, name)
  t.notOk(response.body.includes(token), 'no script sees it')
  t.equal(response.cookies[0]?.maxAge, response.json().refresh_expires_in)
  t.equal(response.headers['cache-control'], 'no-store')
  return { access: response.json().access_token, token }
}

t.test('POST /login with transport cookie → 200; the refresh token is in a cookie that no script can read, and not in the body', async (t) => {
  for (const page of [ownPage, siblingPage, { origin: OWN }, { 'sec-fetch-site': 'same-origin' }]) {
    const response = await cookieLogin(page)
    const { access, token } = isCookieAnswer(t, response)
    t.equal(response.headers['set-cookie'], `${NAME}=${token}; Max-Age=${MONTH_S}; Path=/; HttpOnly; SameSite=Strict`)
    t.equal((await getPrivate(app, access)).statusCode, 200)
  }
})

t.test('POST /login over https → 200, and a Secure cookie whose name binds it to this host', async (t) => {
  const origin = 'https://auth.example.com'
  const app = await build(t, { env: { LATCHKEY_COOKIES: 'on', LATCHKEY_PUBLIC_URL: `${origin}/auth` } })
  await register(app)
  const response = await post(app, '/login', { ...credentials, transport: 'cookie' }, { origin })
  const { token } = isCookieAnswer(t, response, '__Host-latchkey')
  t.match(response.headers['set-cookie'], /^__Host-latchkey=[\w.-]+; Max-Age=\d+; Path=\/; HttpOnly; Secure; SameSite=Strict$/)

  const attempt = (name: string) => app.inject({ method: 'POST', url: '/refresh', headers: { origin }, cookies: { [name]: token } })
  isCookieAnswer(t, await attempt('__Host-latchkey'), '__Host-latchkey')
  isProblem(t, await attempt('latchkey'), 'invalid_refresh_token', 'the plain name, which another host could set, is not looked at')
  t.match((await app.inject({ method: 'POST', url: '/logout', headers: { origin }, cookies: { '__Host-latchkey': token } })).headers['set-cookie'],
    /^__Host-latchkey=; .*Path=\/; .*HttpOnly; Secure; SameSite=Strict$/)
})

t.test('POST /login with transport body, or none → 200 as ever, and no cookie', async (t) => {
  for (const transport of [{}, { transport: 'body' }]) {
    const response = await post(app, '/login', { ...credentials, ...transport }, { origin: 'https://evil.example' })
    t.equal(response.statusCode, 200)
    t.type(response.json().refresh_token, 'string')
    t.notOk('set-cookie' in response.headers)
  }
})

t.test('POST /login with transport cookie and a wrong password → 401, no cookie; with another transport → 400', async (t) => {
  const response = await post(app, '/login', { ...credentials, password: 'wrong password', transport: 'cookie' }, ownPage)
  isProblem(t, response, 'invalid_credentials')
  t.notOk('set-cookie' in response.headers)
  for (const transport of ['Cookie', '', 'header']) isInvalid(t, await post(app, '/login', { ...credentials, transport }, ownPage), { '/transport': 'format' })
})

t.test('LATCHKEY_COOKIES is off → 400 for a login with transport cookie and for calls without a token; a cookie is not looked at', async (t) => {
  isInvalid(t, await post(off, '/login', { ...credentials, transport: 'cookie' }, ownPage), { '/transport': 'format' })
  t.equal((await post(off, '/login', { ...credentials, transport: 'body' })).statusCode, 200)
  const { refresh_token: token } = await login(off)
  for (const url of ['/refresh', '/logout']) {
    isInvalid(t, await off.inject({ method: 'POST', url, headers: ownPage, cookies: { [NAME]: token } }), { '/refresh_token': 'required' })
    isInvalid(t, await post(off, url, {}), { '/refresh_token': 'required' })
  }
  const response = await post(off, '/logout', { refresh_token: token })
  t.equal(response.statusCode, 204)
  t.notOk('set-cookie' in response.headers)
})

t.test('POST /refresh without a body and without an access token → 200, and the next token in the cookie', async (t) => {
  const first = isCookieAnswer(t, await cookieLogin())
  let { token } = first
  for (const page of [ownPage, siblingPage]) {
    clock.advance(60_000)
    const next = isCookieAnswer(t, await send('/refresh', token, page))
    t.not(next.token, token)
    t.equal((await getPrivate(app, next.access)).statusCode, 200)
    token = next.token
  }
  t.match(rowOf(path, token), { generation: 3, revoked_at: null })
})

t.test('POST /refresh with a body that names no token → as without: 200', async (t) => {
  for (const payload of ['{}', 'null']) {
    const { token } = isCookieAnswer(t, await cookieLogin())
    const headers = { ...ownPage, 'content-type': 'application/json' }
    isCookieAnswer(t, await app.inject({ method: 'POST', url: '/refresh', payload, headers, cookies: { [NAME]: token } }))
  }
})

t.test('POST /refresh by two tabs at once → 200 both, and one and the same cookie', async (t) => {
  const { token } = isCookieAnswer(t, await cookieLogin())
  const [one, other] = (await Promise.all([send('/refresh', token), send('/refresh', token)])).map((response) => isCookieAnswer(t, response))
  t.equal(one?.token, other?.token)
})

t.test('POST /refresh with a token in the body and another in the cookie → the body\'s is meant: 200 with the next in the body', async (t) => {
  const { token: inCookie } = isCookieAnswer(t, await cookieLogin())
  const { refresh_token: inBody } = await login(app)
  for (const page of [ownPage, { origin: 'https://evil.example' }]) {
    const response = await app.inject({ method: 'POST', url: '/refresh', payload: { refresh_token: inBody }, headers: page, cookies: { [NAME]: inCookie } })
    t.equal(response.statusCode, 200)
    t.type(response.json().refresh_token, 'string')
    t.notOk('set-cookie' in response.headers)
  }
  t.match(rowOf(path, inCookie), { generation: 1 })
  const empty = await app.inject({ method: 'POST', url: '/refresh', payload: { refresh_token: '' }, headers: ownPage, cookies: { [NAME]: inCookie } })
  isProblem(t, empty, 'invalid_refresh_token', 'an empty one too')
})

t.test('POST /refresh with no cookie, or one that is no good → 401 that leaves the cookie alone', async (t) => {
  const { token } = isCookieAnswer(t, await cookieLogin())
  t.equal((await send('/logout', token)).statusCode, 204)
  for (const bad of [undefined, token, '', 'garbage', 'a.b.c', `${token}x`]) {
    const response = await send('/refresh', bad)
    isProblem(t, response, 'invalid_refresh_token')
    t.notOk('set-cookie' in response.headers, 'another tab may have a newer one by now')
  }
})

t.test('POST /logout without a body and without an access token → 204; the session is over and the cookie gone', async (t) => {
  const { access, token } = isCookieAnswer(t, await cookieLogin())
  const response = await send('/logout', token)
  t.equal(response.statusCode, 204)
  t.equal(response.body, '')
  t.equal(response.headers['set-cookie'], `${NAME}=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Strict`)
  t.strictSame(await tokensAnswer(app, { access_token: access, refresh_token: token }), { access: 401, refresh: 401 })
})

t.test('POST /logout again, or without any token, or with that of the body → 204, and the cookie is gone', async (t) => {
  const { refresh_token: token } = await login(app)
  for (const response of [await send('/logout', 'garbage'), await send('/logout', undefined), await post(app, '/logout', { refresh_token: token }, ownPage)]) {
    t.equal(response.statusCode, 204)
    t.match(response.headers['set-cookie'], /^latchkey=; Max-Age=0; /)
  }
  isProblem(t, await refresh(app, token), 'invalid_refresh_token')
})

const strangers: Record<string, string>[] = [
  {}, { origin: 'https://evil.example' }, { origin: 'null' }, { origin: 'https://localhost:3000' }, { origin: 'http://localhost:3001' }, { origin: `${OWN}/` }, { 'sec-fetch-site': 'same-site' }, { 'sec-fetch-site': 'none' },
  { 'sec-fetch-site': 'cross-site' }, { origin: OWN, 'sec-fetch-site': 'cross-site' }, { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' }, { referer: `${OWN}/docs` }, { host: 'evil.example', origin: 'http://evil.example' }
]

for (const headers of strangers) {
  t.test(`a cookie with ${JSON.stringify(headers)} → 403 csrf_rejected, an audit event, and nothing happens`, async (t) => {
    const { token } = isCookieAnswer(t, await cookieLogin())
    const [row, sessions, before] = [rowOf(path, token), count('sessions'), events()]
    for (const response of [await send('/refresh', token, headers), await send('/logout', token, headers), await cookieLogin(headers)]) {
      isProblem(t, response, 'csrf_rejected')
      t.notOk('set-cookie' in response.headers)
    }
    t.strictSame(rowOf(path, token), row)
    t.equal(count('sessions'), sessions, 'nobody is logged in')
    t.equal(events() - before, 3)
  })
}

t.test('a cookie with a body as plain forms of other sites send it → 415, and nothing happens', async (t) => {
  const { token } = isCookieAnswer(t, await cookieLogin())
  const [row, sessions] = [rowOf(path, token), count('sessions')]
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
    for (const url of ['/refresh', '/logout', '/login']) {
      const payload = JSON.stringify(url === '/login' ? { ...credentials, transport: 'cookie' } : {})
      const attempt = (headers: Record<string, string>) => app.inject({ method: 'POST', url, payload, headers: { ...headers, 'content-type': type }, cookies: { [NAME]: token } })
      for (const headers of [ownPage, { origin: 'https://evil.example' }, {}]) {
        const response = await attempt(headers)
        isProblem(t, response, 'unsupported_media_type', `${url} ${type}`)
        t.notOk('set-cookie' in response.headers)
      }
    }
  }
  t.strictSame(rowOf(path, token), row)
  t.equal(count('sessions'), sessions)
})

function count (table: string) {
  return Number(select(path, `SELECT count(*) AS n FROM ${table}`)[0]?.['n'])
}

function events () {
  return Number(select(path, 'SELECT count(*) AS n FROM audit_events WHERE event = ?', 'malicious_cross_site')[0]?.['n'])
}

t.test('a cookie opens nothing but /refresh and /logout: GET /private, POST /logout/all → 401', async (t) => {
  const { access, token } = isCookieAnswer(t, await cookieLogin())
  for (const value of [token, access]) {
    isProblem(t, await app.inject({ url: '/private', headers: ownPage, cookies: { [NAME]: value } }), 'missing_token')
    isProblem(t, await send('/logout/all', value), 'missing_token')
  }
})
