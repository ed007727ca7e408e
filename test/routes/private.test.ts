import t from 'tap'
import { bearer, build, fakeClock, folder, getPrivate, login, post, refresh, register, registerAndLogin } from '../fixtures/app.ts'
import { isProblem, lasting, sql } from '../fixtures/accounts.ts'
import { exchange, get } from '../fixtures/socket.ts'

const path = folder(t)
const clock = fakeClock()
const app = await build(t, { path, now: clock.now })
const { access_token: token } = await registerAndLogin(app)
await app.listen({ port: 0, host: '127.0.0.1' })

const plain = 'Bearer realm="latchkey"'
const badToken = `${plain}, error="invalid_token"`

function withHeader (authorization: string) {
  return app.inject({ url: '/private', headers: { authorization } })
}

t.test('GET /private with an access token → 200', async (t) => {
  const response = await getPrivate(app, token)
  t.equal(response.statusCode, 200)
  t.strictSame(response.json(), { message: 'Access Granted!' })
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.equal(response.headers['cache-control'], 'no-store')
  t.notOk('www-authenticate' in response.headers)
  t.match(await exchange(app.listeningOrigin, get('/private', `Authorization: Bearer ${token}`)), /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n\{"message":"Access Granted!"\}$/)
})

t.test('GET /private without credentials → 401 missing_token, and no error in the challenge', async (t) => {
  const response = await app.inject('/private')
  isProblem(t, response, 'missing_token')
  t.equal(response.headers['www-authenticate'], plain)
})

t.test('GET /private with another scheme, or a token under none → 401 missing_token', async (t) => {
  const missing = lasting(await app.inject('/private'))
  const values = ['', 'Basic YWRhOnNlY3JldA==', 'Digest username="ada"', 'DPoP x', 'Token x', token, `Bearer${token}`, `Bearer:${token}`, `Bearer="${token}"`, `JWT ${token}`, `"Bearer ${token}"`]
  for (const value of values) t.strictSame(lasting(await withHeader(value)), missing, value.slice(0, 20))
})

t.test('GET /private with the scheme in any case, and spaces → 200', async (t) => {
  for (const value of [`bearer ${token}`, `BEARER ${token}`, `bEaReR ${token}`, `Bearer  ${token}`, `Bearer${' '.repeat(50)}${token}`]) {
    t.equal((await withHeader(value)).statusCode, 200, value.slice(0, 20))
  }
  for (const line of [`AUTHORIZATION: Bearer ${token}`, `authorization:Bearer ${token}`, `Authorization: \t Bearer  ${token}  \t`]) {
    t.match(await exchange(app.listeningOrigin, get('/private', line)), /^HTTP\/1\.1 200 /, line.slice(0, 20))
  }
})

t.test('GET /private with a malformed Bearer header → 401 invalid_token', async (t) => {
  const first = await withHeader('Bearer')
  isProblem(t, first, 'invalid_token')
  t.equal(first.headers['www-authenticate'], badToken)
  const values = ['Bearer ', 'bearer', 'Bearer   ', `Bearer\t${token}`, `Bearer ${token} x`, `Bearer x ${token}`, `Bearer ${token},`, `Bearer ${token}, Bearer ${token}`, `Bearer ${token}, Basic x`, `Bearer Bearer ${token}`, 'Bearer null', 'Bearer undefined', `Bearer\u00a0${token}`, `Bearer \u00a0${token}`]
  for (const value of values) t.strictSame(lasting(await withHeader(value)), lasting(first), JSON.stringify(value.slice(0, 20)))
})

t.test('GET /private with two Authorization headers → 401 invalid_token, even when both are good', async (t) => {
  const line = `Authorization: Bearer ${token}`
  for (const lines of [[line, line], [line, 'Authorization: Basic YTpi'], ['authorization: x', line], [line, 'AUTHORIZATION:'], ['Authorization:', line]]) {
    const answer = await exchange(app.listeningOrigin, get('/private', ...lines))
    t.match(answer, /^HTTP\/1\.1 401 [^]*"code":"invalid_token"/)
    t.match(answer.toLowerCase(), `www-authenticate: ${badToken}`.toLowerCase())
  }
})

t.test('GET /private with the token in the query, a body, a form or a cookie → 401 missing_token', async (t) => {
  const attempts = [
    { url: `/private?access_token=${token}` },
    { url: `/private?authorization=Bearer%20${token}` },
    { url: '/private', headers: { cookie: `access_token=${token}; authorization=Bearer ${token}` } },
    { url: '/private', headers: { 'content-type': 'application/json' }, payload: { access_token: token } },
    { url: '/private', headers: { 'content-type': 'application/x-www-form-urlencoded' }, payload: `access_token=${token}` }
  ]
  for (const attempt of attempts) isProblem(t, await app.inject(attempt), 'missing_token')
  const both = await app.inject({ url: '/private?access_token=garbage', headers: { ...bearer(token), cookie: 'access_token=garbage' } })
  t.equal(both.statusCode, 200, 'what is elsewhere is not read')
})

t.test('HEAD /private is guarded as GET is → 401, 200, without a body', async (t) => {
  const head = (headers: Record<string, string>) => app.inject({ method: 'HEAD', url: '/private', headers })
  for (const [headers, challenge] of [[{}, plain], [bearer('garbage'), badToken]] as const) {
    const refused = await head(headers)
    t.equal(refused.statusCode, 401)
    t.equal(refused.headers['www-authenticate'], challenge)
    t.equal(refused.headers['cache-control'], 'no-store')
  }
  t.equal((await head(bearer(token))).statusCode, 200)
  t.match(await exchange(app.listeningOrigin, get('/private', `Authorization: Bearer ${token}`).replace('GET', 'HEAD')), /^HTTP\/1\.1 200 [^]*\r\n\r\n$/)
})

t.test('GET /private in the last second of a token → 200, and after it → 401 token_expired', async (t) => {
  const { access_token: short, expires_in: expiresIn, refresh_token: refreshToken } = await login(app)
  clock.advance(expiresIn * 1000 - 1)
  t.equal((await getPrivate(app, short)).statusCode, 200)
  clock.advance(1)
  const response = await getPrivate(app, short)
  isProblem(t, response, 'token_expired')
  t.equal(response.headers['www-authenticate'], badToken)
  const { access_token: fresh } = (await refresh(app, refreshToken)).json()
  t.equal((await getPrivate(app, fresh)).statusCode, 200, 'what the code says to do')
})

t.test('GET /private after POST /logout → 401 invalid_token at once, in this session alone; expired too → token_expired', async (t) => {
  const [first, second] = [await login(app), await login(app)]
  t.equal((await getPrivate(app, first.access_token)).statusCode, 200)
  await post(app, '/logout', { refresh_token: first.refresh_token })
  isProblem(t, await getPrivate(app, first.access_token), 'invalid_token')
  t.equal((await getPrivate(app, second.access_token)).statusCode, 200)
  clock.advance(900_000)
  isProblem(t, await getPrivate(app, first.access_token), 'token_expired', 'the session of an expired token is not looked at')
})

t.test('GET /private of a user who was disabled → 401 invalid_token at once, and stays so when enabled again', async (t) => {
  const { id } = await register(app, 'leaver')
  const { access_token: leaving } = await login(app, 'leaver')
  t.equal((await getPrivate(app, leaving)).statusCode, 200)
  await app.db.store.disableUser(id, clock.now())
  isProblem(t, await getPrivate(app, leaving), 'invalid_token')
  await app.db.store.enableUser(id)
  isProblem(t, await getPrivate(app, leaving), 'invalid_token')
})

t.test('GET /private when the session has ended of itself → 401 invalid_token', async (t) => {
  await register(app, 'sleeper')
  const { access_token: sleeping } = await login(app, 'sleeper')
  t.equal(sql(path, 'UPDATE sessions SET idle_expires_at = ? WHERE user_id = (SELECT id FROM users WHERE username = ?)', clock.now() + 1, 'sleeper'), 1)
  t.equal((await getPrivate(app, sleeping)).statusCode, 200)
  clock.advance(1)
  isProblem(t, await getPrivate(app, sleeping), 'invalid_token')
})

t.test('GET /private when the database cannot answer → 503 unavailable, even for garbage under an unknown header; then → 200', async (t) => {
  const { access_token: good } = await login(app)
  clock.advance(10_000)
  for (const table of ['sessions', 'signing_keys']) sql(path, `ALTER TABLE ${table} RENAME TO ${table}_away`)
  isProblem(t, await getPrivate(app, good), 'unavailable')
  isProblem(t, await getPrivate(app, 'AAAA.AAAA.AAAA'), 'unavailable')
  for (const table of ['sessions', 'signing_keys']) sql(path, `ALTER TABLE ${table}_away RENAME TO ${table}`)
  t.equal((await getPrivate(app, good)).statusCode, 200)
  isProblem(t, await getPrivate(app, 'AAAA.AAAA.AAAA'), 'invalid_token')
})
