import type { Static } from '@sinclair/typebox'
import t from 'tap'
import { bearer, build, fakeClock, folder, login, newAddress, PASSWORD, post, refresh, register, registerAndLogin } from '../fixtures/app.ts'
import { endAfterCheck, failWrites, fillQueue, isInvalid, isProblem, lasting, storedHash, tokensAnswer } from '../fixtures/accounts.ts'
import type { TokenPair } from '../../src/schemas.ts'

const NEW = 'an entirely new password'

/** One for all: the threads of an application take a while to start. */
const path = folder(t)
const clock = fakeClock()
const app = await build(t, { path, now: clock.now, env: { LATCHKEY_HASH_QUEUE: '100' } })

function change (token: string, current = PASSWORD, next = NEW, remoteAddress = '127.0.0.1') {
  return app.inject({ method: 'POST', url: '/password', payload: { current_password: current, new_password: next }, headers: bearer(token), remoteAddress })
}

t.test('POST /password → 204; the old password is 401, the new one 200', async (t) => {
  const { access_token: token } = await registerAndLogin(app, 'ada')
  const before = await storedHash(app, 'ada')
  const response = await change(token)
  t.equal(response.statusCode, 204)
  t.equal(response.body, '')
  t.equal(response.headers['cache-control'], 'no-store')
  t.not(await storedHash(app, 'ada'), before)
  isProblem(t, await post(app, '/login', { username: 'ada', password: PASSWORD }), 'invalid_credentials')
  await login(app, 'ada', NEW)
})

t.test('POST /password ends every other session, and this one stays → 401, 200', async (t) => {
  await register(app, 'bob')
  const others = [await login(app, 'bob'), await login(app, 'bob')]
  const own = await login(app, 'bob')
  const refreshed = (await refresh(app, others[0]?.refresh_token ?? '')).json()
  t.equal((await change(own.access_token)).statusCode, 204)
  for (const other of [...others, refreshed]) t.strictSame(await tokensAnswer(app, other), { access: 401, refresh: 401 })
  const sessions = await app.inject({ url: '/sessions', headers: bearer(own.access_token) })
  t.match(sessions.json(), [{ current: true }])
  t.equal(sessions.json().length, 1)
  t.strictSame(await tokensAnswer(app, own), { access: 200, refresh: 200 })
  t.strictSame(await tokensAnswer(app, await login(app, 'bob', NEW)), { access: 200, refresh: 200 }, 'a login after it')
})

t.test('POST /password again, from the same session and from a later one → 204, and each time only the caller stays', async (t) => {
  const { access_token: first, refresh_token: token } = await registerAndLogin(app, 'carol')
  t.equal((await change(first, PASSWORD, NEW)).statusCode, 204)
  t.equal((await change(first, NEW, PASSWORD)).statusCode, 204)
  const second = await login(app, 'carol')
  t.equal((await refresh(app, token)).statusCode, 200)
  t.equal((await change(second.access_token, PASSWORD, NEW)).statusCode, 204)
  t.equal((await app.inject({ url: '/me', headers: bearer(first) })).statusCode, 401)
  t.strictSame(await tokensAnswer(app, second), { access: 200, refresh: 200 })
})

t.test('POST /password to the same password → 204, and the other sessions end', async (t) => {
  const { access_token: token, refresh_token: other } = await registerAndLogin(app, 'same')
  const own = await login(app, 'same')
  t.equal((await change(own.access_token, PASSWORD, PASSWORD)).statusCode, 204)
  t.strictSame(await tokensAnswer(app, { access_token: token, refresh_token: other }), { access: 401, refresh: 401 })
})

t.test('POST /password with a wrong current password → 401 invalid_credentials, and nothing changes', async (t) => {
  const pair = await registerAndLogin(app, 'dora')
  const before = await storedHash(app, 'dora')
  for (const current of ['wrong password', '', `${PASSWORD} `, PASSWORD.toUpperCase(), '\ud800', 'x'.repeat(2000)]) {
    const response = await change(pair.access_token, current, NEW, newAddress())
    isProblem(t, response, 'invalid_credentials')
    t.equal(response.headers['www-authenticate'], 'Bearer realm="latchkey"')
    t.notMatch(response.body, /entirely new/)
  }
  t.equal(await storedHash(app, 'dora'), before)
  t.strictSame(await tokensAnswer(app, pair), { access: 200, refresh: 200 })
})

t.test('POST /password, what is wrong with a new password → 400 with one entry for each field at fault', async (t) => {
  await register(app, 'ada.lovelace', { email: 'countess.ada@example.org' })
  const { access_token: token } = await login(app, 'ada.lovelace')
  for (const [password, code] of [
    ['short', 'too_short'], ['😀'.repeat(7), 'too_short'], ['x'.repeat(1025), 'too_long'], ['\ud800aaaaaaaa', 'format'], ['PassWord1', 'common_password'],
    ['ADA.LOVELACE', 'resembles_user'], ['Countess.Ada@EXAMPLE.org', 'resembles_user'], ['countess.ada', 'resembles_user']
  ] as const) isInvalid(t, await change(token, PASSWORD, password), { '/new_password': code }, password.slice(0, 20))

  const attempt = (body: object) => post(app, '/password', body, bearer(token))
  isInvalid(t, await attempt({}), { '/current_password': 'required', '/new_password': 'required' })
  isInvalid(t, await attempt({ current_password: 1, new_password: null, username: 'x' }), { '/current_password': 'type', '/new_password': 'type', '/username': 'unknown_field' })
  isInvalid(t, await attempt([]), { '': 'type' })
  isInvalid(t, await app.inject({ method: 'POST', url: '/password', headers: bearer(token) }), { '': 'type' })
  await login(app, 'ada.lovelace')
})

t.test('POST /password without a good token → 401 before the body is looked at', async (t) => {
  const body = '{"current_password":'
  const attempt = (headers: Record<string, string>) => app.inject({ method: 'POST', url: '/password', payload: body, headers: { 'content-type': 'text/plain', ...headers } })
  isProblem(t, await attempt({}), 'missing_token')
  isProblem(t, await attempt(bearer('x')), 'invalid_token')
  isProblem(t, await post(app, '/password', {}), 'missing_token')
})

t.test('POST /password with a full hashing queue → 503 overloaded with Retry-After, and nothing changes', async (t) => {
  const { access_token: token } = await registerAndLogin(app, 'eve')
  const release = fillQueue(app)
  const response = await change(token)
  isProblem(t, response, 'overloaded')
  t.equal(response.headers['retry-after'], '1')
  release()
  t.equal((await change(token)).statusCode, 204)
})

t.test('POST /password while the database cannot answer → 503 unavailable, and the old password stays', async (t) => {
  const { access_token: token } = await registerAndLogin(app, 'unlucky')
  const mend = failWrites(path, 'users', 'password_hash')
  const response = await change(token)
  isProblem(t, response, 'unavailable')
  t.equal(response.headers['retry-after'], '5')
  mend()
  await login(app, 'unlucky')
})

t.test('POST /password, several at once → exactly one 204, and its password is the one that counts', async (t) => {
  await register(app, 'racer')
  for (let round = 0, password = PASSWORD; round < 5; round++) {
    const pairs = [await login(app, 'racer', password), await login(app, 'racer', password)]
    const wanted = [0, 1, 2, 3].map((i) => `password ${round} of ${i} racers`)
    const answers = await Promise.all(wanted.map((next, i) => change(pairs[i % 2]?.access_token ?? '', password, next)))
    const won = answers.findIndex(({ statusCode }) => statusCode === 204)
    t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [204, 401, 401, 401])
    for (const next of wanted) t.equal((await post(app, '/login', { username: 'racer', password: next })).statusCode, next === wanted[won] ? 200 : 401)
    password = wanted[won] ?? ''
  }
})

t.test('POST /password racing with logins and refreshes → no session of the old password survives', async (t) => {
  await register(app, 'hunted')
  for (let round = 0, password = PASSWORD; round < 8; round++) {
    const own = await login(app, 'hunted', password)
    const thief = await login(app, 'hunted', password)
    const next = `password number ${round}`
    const [changed, ...stolen] = await Promise.all([
      change(own.access_token, password, next),
      ...Array.from({ length: 4 }, () => post(app, '/login', { username: 'hunted', password })),
      refresh(app, thief.refresh_token),
      refresh(app, thief.refresh_token)
    ])
    t.equal(changed.statusCode, 204)
    const pairs: Required<Static<typeof TokenPair>>[] = [thief, ...stolen.filter(({ statusCode }) => statusCode === 200).map((answer) => answer.json())]
    for (const pair of pairs) t.strictSame(await tokensAnswer(app, pair), { access: 401, refresh: 401 })
    t.strictSame(stolen.map(({ statusCode }) => statusCode).filter((status) => status !== 200 && status !== 401), [])
    t.strictSame(await tokensAnswer(app, own), { access: 200, refresh: 200 })
    password = next
  }
})

t.test('POST /password of a user disabled meanwhile → 401 invalid_token, and the old password stays', async (t) => {
  const { access_token: token, user } = await registerAndLogin(app, 'leaving')
  const { verify } = app.passwords
  t.intercept(app.passwords, 'verify', {
    value: async (...args: Parameters<typeof verify>) => {
      const verdict = await verify(...args)
      await app.db.store.disableUser(user.id, clock.now())
      return verdict
    }
  })
  const response = await change(token)
  isProblem(t, response, 'invalid_token')
  t.strictSame(lasting(await change(token)), lasting(response))
  await app.db.store.enableUser(user.id)
})

t.test('POST /password keeps the claims and the times of the account → 204', async (t) => {
  const { access_token: token } = await registerAndLogin(app, 'constant')
  const me = async () => (await app.inject({ url: '/me', headers: bearer(token) })).json()
  const before = await me()
  clock.advance(1000)
  t.equal((await change(token)).statusCode, 204)
  t.strictSame(await me(), before)
})

t.test('POST /password of a session that ends while the request is at work → 401 invalid_token, and the old password stays', async (t) => {
  const { access_token: token, user } = await registerAndLogin(app, 'ended')
  endAfterCheck(t, app, () => app.db.store.endSessionsOfUser(user.id))
  isProblem(t, await change(token), 'invalid_token')
  await login(app, 'ended')
})
