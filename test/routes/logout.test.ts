import { randomBytes, randomUUID } from 'node:crypto'
import t from 'tap'
import { bearer, build, fakeClock, folder, getPrivate, login, post, refresh, register, registerAndLogin } from '../fixtures/app.ts'
import { isInvalid, isProblem, lasting, failWrites, select, tokensAnswer } from '../fixtures/accounts.ts'
import { decode, forge, hmac, secretsOf } from '../fixtures/forge.ts'
import { rowOf } from '../fixtures/refresh.ts'

const DAY = 86_400_000

const path = folder(t)
const clock = fakeClock()
const secret = () => randomBytes(36).toString('base64')
const env = { LATCHKEY_SECRET: secret() }
const app = await build(t, { path, env, now: clock.now })
await register(app, 'ada')

const logout = (token: string) => post(app, '/logout', { refresh_token: token })
const dead = { access: 401, refresh: 401 }
const alive = { access: 200, refresh: 200 }

t.test('POST /logout → 204 without a body; every token of the session is dead at once, another session goes on', async (t) => {
  const [pair, other] = [await login(app), await login(app)]
  const refreshed = (await refresh(app, pair.refresh_token)).json()
  const response = await logout(refreshed.refresh_token)
  t.equal(response.statusCode, 204)
  t.equal(response.body, '')
  t.equal(response.headers['cache-control'], 'no-store')
  t.notOk('content-type' in response.headers)
  for (const one of [pair, refreshed]) t.strictSame(await tokensAnswer(app, one), dead)
  isProblem(t, await getPrivate(app, pair.access_token), 'invalid_token')
  t.strictSame(await tokensAnswer(app, other), alive)
  t.match(rowOf(path, pair.refresh_token), { revoked_at: clock.now(), revoked_reason: 'logout' })
})

t.test('POST /logout again, and for what never was a token → the same 204', async (t) => {
  const { refresh_token: token } = await login(app)
  const first = await logout(token)
  t.equal(first.statusCode, 204)
  const row = rowOf(path, token)
  clock.advance(1)
  for (const text of [token, '', 'garbage', 'x'.repeat(16_000), 'a.b.c', `${token}x`]) t.strictSame(lasting(await logout(text)), lasting(first), text.slice(0, 20))
  t.strictSame(rowOf(path, token), row, 'the end of the session stays what it was')
})

t.test('POST /logout with any refresh token of the session, whatever its generation → 204, and it is over', async (t) => {
  for (const which of [0, 1, 2, 3]) {
    const pair = await login(app)
    const tokens = [pair.refresh_token]
    for (let i = 0; i < 3; i++) tokens.push((await refresh(app, tokens.at(-1) ?? '')).json().refresh_token)
    t.equal((await logout(tokens[which] ?? '')).statusCode, 204)
    t.match(rowOf(path, pair.refresh_token), { revoked_reason: 'logout' }, 'and not for reuse')
    for (const token of tokens) t.strictSame(await tokensAnswer(app, { ...pair, refresh_token: token }), dead)
  }
})

t.test('POST /logout with a token that has expired → 204, and it is over', async (t) => {
  const old = await login(app)
  clock.advance(13 * DAY)
  const newest = (await refresh(app, old.refresh_token)).json()
  clock.advance(DAY)
  isProblem(t, await refresh(app, old.refresh_token), 'invalid_refresh_token')
  t.equal((await getPrivate(app, (await refresh(app, newest.refresh_token)).json().access_token)).statusCode, 200, 'its session lives')
  t.equal((await logout(old.refresh_token)).statusCode, 204)
  t.strictSame(await tokensAnswer(app, newest), dead)
  t.match(rowOf(path, old.refresh_token), { revoked_reason: 'logout' })
})

t.test('POST /logout with an expired access token beside the refresh token → 204', async (t) => {
  const pair = await login(app)
  clock.advance(900_000)
  const response = await post(app, '/logout', { refresh_token: pair.refresh_token }, bearer(pair.access_token))
  t.equal(response.statusCode, 204)
  t.strictSame(await tokensAnswer(app, pair), dead)
})

t.test('POST /logout with an access token, or one that is not ours → 204, and nothing ends', async (t) => {
  const pair = await login(app)
  const { header, payload } = decode(pair.refresh_token)
  const { primary } = secretsOf(path, env)
  for (const token of [
    pair.access_token,
    forge(header, payload, hmac(secretsOf(path, { LATCHKEY_SECRET: secret() }).primary.refresh)),
    forge({ ...header, alg: 'none' }, payload, () => Buffer.alloc(0)),
    forge({ ...header, typ: 'at+jwt' }, payload, hmac(primary.refresh)),
    forge(header, { ...payload, sid: randomUUID() }, hmac(primary.refresh)),
    `${pair.refresh_token.slice(0, -4)}AAAA`
  ]) t.equal((await logout(token)).statusCode, 204)
  t.strictSame(await tokensAnswer(app, pair), alive)
})

t.test('POST /logout without what it needs → 400 with one entry for each field at fault; GET → 405', async (t) => {
  const attempt = (body: object) => post(app, '/logout', body)
  isInvalid(t, await attempt({}), { '/refresh_token': 'required' })
  isInvalid(t, await attempt({ refresh_token: null, all: true }), { '/refresh_token': 'type', '/all': 'unknown_field' })
  isInvalid(t, await attempt([]), { '': 'type' })
  isInvalid(t, await app.inject({ method: 'POST', url: '/logout' }), { '/refresh_token': 'required' })
  isProblem(t, await app.inject({ url: '/logout' }), 'method_not_allowed')
  isProblem(t, await app.inject({ url: '/logout/all' }), 'method_not_allowed')
})

t.test('POST /logout and /logout/all while the database cannot answer → 503 unavailable, never a false 204', async (t) => {
  const pair = await login(app)
  const mend = [failWrites(path, 'sessions', 'revoked_at'), failWrites(path, 'users', 'session_epoch')]
  const answers = [await logout(pair.refresh_token), await post(app, '/logout/all', {}, bearer(pair.access_token))]
  mend.forEach((one) => one())
  for (const answer of answers) {
    isProblem(t, answer, 'unavailable')
    t.equal(answer.headers['retry-after'], '5')
  }
  t.strictSame(await tokensAnswer(app, pair), alive)
  t.equal((await logout(pair.refresh_token)).statusCode, 204)
})

t.test('POST /logout/all → 204; every session of the user is over, this one too, and nobody else\'s', async (t) => {
  const pairs = [await login(app), await login(app), await login(app)]
  const refreshed = (await refresh(app, pairs[1]?.refresh_token ?? '')).json()
  const stranger = await registerAndLogin(app, 'eve')
  const response = await app.inject({ method: 'POST', url: '/logout/all', headers: bearer(pairs[0]?.access_token ?? '') })
  t.equal(response.statusCode, 204)
  t.equal(response.body, '')
  t.equal(response.headers['cache-control'], 'no-store')
  for (const pair of [...pairs, refreshed]) t.strictSame(await tokensAnswer(app, pair), dead)
  t.strictSame(await tokensAnswer(app, stranger), alive)
  const fresh = await login(app)
  t.strictSame(await tokensAnswer(app, fresh), alive, 'a login after it')
  const listed = await app.inject({ url: '/sessions', headers: bearer(fresh.access_token) })
  t.equal(listed.json().length, 1)
})

t.test('POST /logout/all after a password change ends the session that the change spared → 204', async (t) => {
  const pair = await registerAndLogin(app, 'careful')
  const body = { current_password: 'correct horse battery staple', new_password: 'an entirely new password' }
  t.equal((await post(app, '/password', body, bearer(pair.access_token))).statusCode, 204)
  t.strictSame(await tokensAnswer(app, pair), alive)
  t.equal((await post(app, '/logout/all', {}, bearer(pair.access_token))).statusCode, 204)
  t.strictSame(await tokensAnswer(app, pair), dead)
})

t.test('POST /logout/all without a good token → 401, and nothing ends', async (t) => {
  const pair = await login(app)
  const live = () => select(path, 'SELECT count(*) AS live FROM sessions WHERE revoked_at IS NULL')
  const before = live()
  isProblem(t, await app.inject({ method: 'POST', url: '/logout/all' }), 'missing_token')
  isProblem(t, await post(app, '/logout/all', { refresh_token: pair.refresh_token }), 'missing_token')
  isProblem(t, await post(app, '/logout/all', {}, bearer(pair.refresh_token)), 'invalid_token')
  clock.advance(900_000)
  isProblem(t, await post(app, '/logout/all', {}, bearer(pair.access_token)), 'token_expired')
  t.strictSame(live(), before)
  t.equal((await refresh(app, pair.refresh_token)).statusCode, 200)
})
