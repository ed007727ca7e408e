import t from 'tap'
import { bearer, build, fakeClock, login, PASSWORD, register } from '../fixtures/app.ts'
import { endAfterCheck, isProblem } from '../fixtures/accounts.ts'

const clock = fakeClock()
const app = await build(t, { now: clock.now })

t.test('GET /me → 200 and the account, no more', async (t) => {
  const registered = await register(app, 'Ada', { email: 'Ada@Bücher.example' })
  clock.advance(1_500)
  const { access_token: token } = await login(app)
  const response = await app.inject({ url: '/me', headers: bearer(token) })
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.equal(response.headers['cache-control'], 'no-store')
  t.strictSame(response.json(), {
    id: registered.id,
    username: 'Ada',
    email: 'Ada@Bücher.example',
    email_verified: false,
    created_at: '2026-01-01T00:00:00.000Z',
    last_login_at: '2026-01-01T00:00:01.500Z'
  })
})

t.test('GET /me of a user with claims and without an e-mail → 200 and null, and no claims', async (t) => {
  const { id } = await register(app, 'bob')
  await app.db.store.setClaims(id, '{"is_admin":true}')
  const { access_token: token } = await login(app, 'bob')
  const response = await app.inject({ url: '/me', headers: bearer(token) })
  t.strictSame(Object.keys(response.json()), ['id', 'username', 'email', 'email_verified', 'created_at', 'last_login_at'])
  t.equal(response.json().email, null)
})

t.test('GET /me gives each caller their own account → 200', async (t) => {
  await register(app, 'carol')
  const tokens = [await login(app), await login(app, 'carol')]
  const answers = await Promise.all(tokens.map(({ access_token: token }) => app.inject({ url: '/me', headers: bearer(token) })))
  t.strictSame(answers.map((answer) => answer.json().username), ['Ada', 'carol'])
})

t.test('GET /me without a good token → 401; HEAD is guarded as GET is → 401, 200', async (t) => {
  isProblem(t, await app.inject('/me'), 'missing_token')
  isProblem(t, await app.inject({ url: '/me', headers: bearer('x.y.z') }), 'invalid_token')
  isProblem(t, await app.inject({ url: '/me', headers: { authorization: `Basic ${btoa(`ada:${PASSWORD}`)}` } }), 'missing_token')
  t.equal((await app.inject({ method: 'HEAD', url: '/me' })).statusCode, 401)
  const { access_token: token } = await login(app)
  t.equal((await app.inject({ method: 'HEAD', url: '/me', headers: bearer(token) })).statusCode, 200)
})

t.test('GET /me of a user who has been disabled → 401 invalid_token at once', async (t) => {
  const { id } = await register(app, 'dora')
  const { access_token: token } = await login(app, 'dora')
  await app.db.store.disableUser(id, clock.now())
  isProblem(t, await app.inject({ url: '/me', headers: bearer(token) }), 'invalid_token')
})

t.test('GET /me when the token has expired → 401 token_expired', async (t) => {
  const { access_token: token } = await login(app)
  clock.advance(900_000)
  isProblem(t, await app.inject({ url: '/me', headers: bearer(token) }), 'token_expired')
})

t.test('GET /me of a session that ends while the request is at work → 401 invalid_token', async (t) => {
  const { id } = await register(app, 'eve')
  const { access_token: token } = await login(app, 'eve')
  endAfterCheck(t, app, () => app.db.store.endSessionsOfUser(id))
  isProblem(t, await app.inject({ url: '/me', headers: bearer(token) }), 'invalid_token')
})
