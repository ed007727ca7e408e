import fc from 'fast-check'
import t from 'tap'
import { bearer, build, fakeClock, folder, getPrivate, login, post, refresh, register, registerAndLogin } from '../fixtures/app.ts'
import { isProblem, select, tokensAnswer } from '../fixtures/accounts.ts'
import { decode } from '../fixtures/forge.ts'
import { captureLog, clientsOf, rowOf } from '../fixtures/refresh.ts'
import type { Pair } from '../fixtures/sockets.ts'

/** LATCHKEY_REFRESH_ROTATION=off: a refresh token is good until its end. */
const GRACE = 10_000
const DAY = 86_400_000
const IDLE = 14 * DAY
const off = { LATCHKEY_REFRESH_ROTATION: 'off' }

const path = folder(t)
const clock = fakeClock()
const app = await build(t, { path, env: off, now: clock.now })
const log = captureLog(t, app, 'info')
const { newUser, next } = clientsOf(app)

const eventsOf = ({ refresh_token: token }: Pick<Pair, 'refresh_token'>, lines = log) => lines.filter(({ sessionId }) => sessionId === decode(token).payload['sid']).map(({ audit }) => audit)

t.test('POST /refresh without rotation → 200, the same refresh token, what is left of its life, and a fresh access token', async (t) => {
  const first = await newUser()
  const row = rowOf(path, first.refresh_token)
  const jtis = new Set([decode(first.access_token).payload['jti']])
  for (let turn = 1; turn <= 4; turn++) {
    clock.advance(3 * DAY)
    const again = await next(t, first.refresh_token)
    t.equal(again.refresh_token, first.refresh_token)
    t.equal(again.refresh_expires_in, (IDLE - turn * 3 * DAY) / 1000)
    t.equal((await getPrivate(app, again.access_token)).statusCode, 200)
    jtis.add(decode(again.access_token).payload['jti'])
  }
  t.equal(jtis.size, 5)
  t.strictSame(rowOf(path, first.refresh_token), row, 'nothing is written')
  t.strictSame(eventsOf(first), ['authn_login_success', 'session_created'], 'an ordinary refresh is counted, not recorded')
  clock.advance(IDLE - 12 * DAY)
  isProblem(t, await refresh(app, first.refresh_token), 'invalid_refresh_token', 'its end does not move')
})

t.test('POST /refresh without rotation, whatever tokens come in whatever order at whatever times → no session\'s row changes', async (t) => {
  const tokens = [(await newUser()).refresh_token, (await newUser()).refresh_token]
  const bad = ['x', `${tokens[0]?.slice(0, -8)}AAAAAAAA`, (await newUser()).access_token]
  const rows = () => select(path, 'SELECT * FROM sessions ORDER BY id')
  const before = rows()
  await fc.assert(fc.asyncProperty(fc.array(fc.constantFrom(...tokens, ...bad), { maxLength: 6 }), fc.nat(DAY / 24), async (sent, wait) => {
    clock.advance(wait)
    const answers = await Promise.all(sent.map((token) => refresh(app, token)))
    return answers.every(({ statusCode, body }, i) => tokens.includes(String(sent[i])) ? statusCode === 200 && JSON.parse(body).refresh_token === sent[i] : statusCode === 401)
  }), { numRuns: 40 })
  t.strictSame(rows(), before)
})

t.test('POST /refresh without rotation after a logout, of all sessions too, a new password, or the user\'s end → 401', async (t) => {
  const { username, user, access_token: access, refresh_token: token } = await newUser()
  const others = [await login(app, username), await login(app, username), await login(app, username)] as const
  t.equal((await post(app, '/logout', { refresh_token: token })).statusCode, 204)
  isProblem(t, await refresh(app, token), 'invalid_refresh_token')
  isProblem(t, await getPrivate(app, access), 'invalid_token')

  const passwords = { current_password: 'correct horse battery staple', new_password: 'staple battery horse correct' }
  t.equal((await post(app, '/password', passwords, bearer(others[0].access_token))).statusCode, 204)
  isProblem(t, await refresh(app, others[1].refresh_token), 'invalid_refresh_token')
  const kept = await next(t, others[0].refresh_token)
  t.equal((await post(app, '/logout/all', {}, bearer(kept.access_token))).statusCode, 204)
  isProblem(t, await refresh(app, kept.refresh_token), 'invalid_refresh_token')

  const last = await login(app, username, passwords.new_password)
  await app.db.store.disableUser(user.id, clock.now())
  isProblem(t, await refresh(app, last.refresh_token), 'invalid_refresh_token')
})

t.test('POST /refresh without rotation: no session outlives LATCHKEY_SESSION_MAX, and claims are read afresh → 200, 401', async (t) => {
  const path = folder(t)
  const app = await build(t, { path, now: clock.now, env: { ...off, LATCHKEY_SESSION_IDLE: '2d', LATCHKEY_SESSION_MAX: '2d' } })
  const { user, refresh_token: token } = await registerAndLogin(app)
  await app.db.store.setClaims(user.id, '{"is_admin":true}')
  clock.advance(2 * DAY - 60_000)
  const pair = await next(t, token, app)
  t.match(decode(pair.access_token).payload, { is_admin: true })
  t.match(pair, { refresh_expires_in: 60 })
  clock.advance(60_000)
  isProblem(t, await refresh(app, token), 'invalid_refresh_token')
})

t.test('POST /refresh over a change of LATCHKEY_REFRESH_ROTATION, off and on again → 200: nobody is logged out', async (t) => {
  const path = folder(t)
  const start = async (env = {}) => await build(t, { path, env, now: clock.now })
  const rotating = await start()
  await register(rotating)
  const newest = await next(t, (await login(rotating)).refresh_token, rotating)
  const lost = (await login(rotating)).refresh_token
  const successor = await next(t, lost, rotating)
  const old = (await login(rotating)).refresh_token
  const older = await next(t, (await next(t, old, rotating)).refresh_token, rotating)
  await rotating.close()

  const keeping = await start(off)
  const lines = captureLog(t, keeping, 'info')
  t.equal((await next(t, newest.refresh_token, keeping)).refresh_token, newest.refresh_token)
  for (const wait of [0, GRACE + 1]) {
    clock.advance(wait)
    t.equal((await next(t, lost, keeping)).refresh_token, successor.refresh_token, 'whose answer was lost gets it, however late in the day')
  }
  t.strictSame(eventsOf({ refresh_token: lost }, lines), ['session_recovered'])
  isProblem(t, await refresh(keeping, old), 'invalid_refresh_token', 'a copy of an older token still ends its session')
  t.strictSame(await tokensAnswer(keeping, older), { access: 401, refresh: 401 })
  t.equal(rowOf(path, old)['revoked_reason'], 'reuse_detected')
  clock.advance(5 * DAY)
  t.equal((await next(t, successor.refresh_token, keeping)).refresh_token, successor.refresh_token)
  t.equal((await next(t, newest.refresh_token, keeping)).refresh_token, newest.refresh_token)
  await keeping.close()

  const again = await start()
  for (const { refresh_token: token } of [newest, successor]) {
    const rotated = await next(t, token, again)
    t.not(rotated.refresh_token, token)
    t.equal(rotated.refresh_expires_in, IDLE / 1000)
    t.equal((await next(t, rotated.refresh_token, again)).token_type, 'Bearer')
  }
})
