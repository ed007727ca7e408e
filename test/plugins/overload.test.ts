import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { build as buildApp } from '../../src/app.ts'
import { bearer, build, folder, login, PASSWORD, post, registerAndLogin, settings, tryLogin } from '../fixtures/app.ts'
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

/** The event loop turns once in 1.2 s, for a while; every service of this process takes it for load, until a second after the test. */
async function standStill (t: Test) {
  t.teardown(() => delay(1_100))

  for (let i = 0; i < 3; i++) {
    const until = performance.now() + 1_200
    while (performance.now() < until);
    await nextTurn()
  }
}

t.test('with an event loop that stands still → 503 overloaded; then all is as before', async (t) => {
  const app = await build(t)
  const { access_token: token } = await registerAndLogin(app)
  const answer = () => app.inject({ url: '/private', headers: bearer(token) })
  await standStill(t)
  isProblem(t, await answer(), 'overloaded')
  t.equal((await app.inject('/livez')).statusCode, 200)
  await eventually(async () => (await answer()).statusCode === 200)
})

t.test('after a start during which the event loop stood still → 200: that is no load', async (t) => {
  const app = await buildApp(settings(folder(t)))
  t.teardown(() => app.close())
  await standStill(t)
  await app.ready()
  isProblem(t, await app.inject('/private'), 'missing_token')
})
