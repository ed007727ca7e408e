import t from 'tap'
import { bearer, build, login, PASSWORD, post, registerAndLogin, tryLogin } from '../fixtures/app.ts'
import { eventually, isProblem, tokensAnswer } from '../fixtures/accounts.ts'

t.test('with a heap that is almost full → 503 overloaded with Retry-After, and nothing is done; health and keys → 200; then all is as before', async (t) => {
  const app = await build(t)
  const pair = await registerAndLogin(app)
  const isOverloaded = async () => (await app.inject({ url: '/private', headers: bearer(pair.access_token) })).statusCode === 503

  const { memoryUsage } = process
  const full = t.intercept(process, 'memoryUsage', { value: () => ({ ...memoryUsage(), heapUsed: Number.MAX_SAFE_INTEGER }) })
  await eventually(isOverloaded)
  const changed = { current_password: PASSWORD, new_password: 'an entirely new password' }
  const answers = [
    await post(app, '/register', { username: 'bob', password: PASSWORD }),
    await tryLogin(app, 'ada'),
    await post(app, '/refresh', { refresh_token: pair.refresh_token }),
    await post(app, '/logout', { refresh_token: pair.refresh_token }),
    await post(app, '/logout/all', {}, bearer(pair.access_token)),
    await post(app, '/password', changed, bearer(pair.access_token)),
    await app.inject({ url: '/me', headers: bearer(pair.access_token) }),
    await app.inject({ url: '/sessions', headers: bearer(pair.access_token) }),
    await app.inject('/private')
  ]
  for (const answer of answers) {
    isProblem(t, answer, 'overloaded')
    t.equal(answer.headers['retry-after'], '1')
  }
  for (const url of ['/livez', '/readyz', '/.well-known/jwks.json', '/openapi.json']) t.equal((await app.inject(url)).statusCode, 200, url)

  full.restore()
  await eventually(async () => !await isOverloaded())
  t.equal(await app.db.store.findUserByUsername('bob'), undefined)
  const sessions = await app.inject({ url: '/sessions', headers: bearer(pair.access_token) })
  t.equal(sessions.json().length, 1)
  t.strictSame(await tokensAnswer(app, pair), { access: 200, refresh: 200 })
  await login(app)
})
