import t from 'tap'
import { build, fakeClock, folder, getPrivate, login, refresh } from '../fixtures/app.ts'
import { isProblem, sql, tokensAnswer } from '../fixtures/accounts.ts'
import { decode } from '../fixtures/forge.ts'
import { captureLog, clientsOf, rowOf } from '../fixtures/refresh.ts'
import type { Pair } from '../fixtures/sockets.ts'

const GRACE = 10_000
const DAY = 86_400_000
const IDLE = 14 * DAY

/** For every test that needs no setting of its own: the threads of an application take a while to start. */
const path = folder(t)
const clock = fakeClock()
const app = await build(t, { path, now: clock.now })
const log = captureLog(t, app, 'info')
const { newUser, next } = clientsOf(app)

/** Tokens count in seconds; from here they do so to the millisecond. */
const toWholeSecond = () => clock.advance(1000 - clock.now() % 1000)

const generation = (token: string) => decode(token).payload['gen']
/** What is recorded of a session after its login. */
const logged = ({ refresh_token: token }: Pair) => log.filter(({ sessionId }) => sessionId === decode(token).payload['sid']).map(({ audit }) => audit).filter((event) => event !== 'authn_login_success' && event !== 'session_created')

t.test('POST /refresh → 200 and a new pair of tokens, no more', async (t) => {
  const first = await newUser()
  const response = await refresh(app, first.refresh_token)
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.equal(response.headers['cache-control'], 'no-store')
  t.strictSame(Object.keys(response.json()).sort(), ['access_token', 'expires_in', 'refresh_expires_in', 'refresh_token', 'token_type'])
  const second: Pair = response.json()
  t.match(second, { token_type: 'Bearer', refresh_expires_in: IDLE / 1000 })
  t.not(second.refresh_token, first.refresh_token)
  t.strictSame(await tokensAnswer(app, second), { access: 200, refresh: 200 })
  t.equal((await getPrivate(app, first.access_token)).statusCode, 200, 'the access token from before stays good')
})

t.test('POST /refresh → 200 and tokens of the same session, user and audience, with a jti of their own', async (t) => {
  toWholeSecond()
  const first = await newUser()
  clock.advance(60_000)
  const second = await next(t, first.refresh_token)
  const [before, after] = [decode(first.access_token).payload, decode(second.access_token).payload]
  for (const claim of ['iss', 'aud', 'sub', 'client_id', 'sid', 'token_type']) t.strictSame(after[claim], before[claim], claim)
  t.not(after['jti'], before['jti'])
  t.equal(Number(after['iat']) - Number(before['iat']), 60)

  const { header, payload } = decode(second.refresh_token)
  t.strictSame(Object.keys(header).sort(), ['alg', 'kid', 'typ'])
  t.match(header, { alg: 'HS256', typ: 'rt+jwt' })
  t.strictSame(payload, {
    iss: after['iss'],
    sub: first.user.id,
    sid: after['sid'],
    gen: 2,
    jti: `${after['sid']}.2`,
    token_type: 'refresh',
    iat: clock.now() / 1000,
    exp: (clock.now() + IDLE) / 1000
  })
})

t.test('POST /refresh again and again → 200 each time with the newest token', async (t) => {
  let pair: Pair = await newUser()
  for (let turn = 2; turn < 12; turn++) {
    clock.advance(900_000)
    pair = await next(t, pair.refresh_token)
    t.equal(generation(pair.refresh_token), turn)
    t.equal((await getPrivate(app, pair.access_token)).statusCode, 200)
  }
})

t.test('POST /refresh again within the grace → 200, the same refresh token byte for byte and a fresh access token', async (t) => {
  const first = await newUser()
  const second = await next(t, first.refresh_token)
  const row = rowOf(path, first.refresh_token)
  const jtis = new Set([decode(second.access_token).payload['jti']])
  for (const wait of [0, 1_500, GRACE - 1_500]) {
    clock.advance(wait)
    const again = await next(t, first.refresh_token)
    t.equal(again.refresh_token, second.refresh_token)
    t.equal(again.refresh_expires_in, Number(decode(again.refresh_token).payload['exp']) - Math.floor(clock.now() / 1000))
    t.equal((await getPrivate(app, again.access_token)).statusCode, 200)
    jtis.add(decode(again.access_token).payload['jti'])
  }
  t.equal(jtis.size, 4)
  t.strictSame(rowOf(path, first.refresh_token), row, 'a replay changes nothing: the window does not slide')
  clock.advance(1)
  t.not((await next(t, first.refresh_token)).refresh_token, second.refresh_token, 'and ends with its last millisecond')
  t.strictSame(logged(first), ['session_recovered'])
})

t.test('POST /refresh after a lost answer → 200 and a sibling; the first sibling used wins and the other is reuse', async (t) => {
  for (const [winner, loser] of [[0, 1], [1, 0]] as const) {
    const first = await newUser()
    const lost = await next(t, first.refresh_token)
    clock.advance(DAY)
    const found = await next(t, first.refresh_token)
    t.strictSame([lost, found].map((pair) => generation(pair.refresh_token)), [2, 3])
    t.equal((await next(t, first.refresh_token)).refresh_token, found.refresh_token, 'a retry of the recovery')
    const siblings = [lost, found]
    const used = await next(t, siblings[winner]?.refresh_token ?? '')
    t.equal(generation(used.refresh_token), 4)
    isProblem(t, await refresh(app, siblings[loser]?.refresh_token ?? ''), 'invalid_refresh_token')
    t.strictSame(await tokensAnswer(app, used), { access: 401, refresh: 401 })
    t.strictSame(logged(first), ['session_recovered', 'authn_token_reuse'])
  }
})

t.test('POST /refresh with the last token a day and a millisecond later → 401, and the session is over', async (t) => {
  const first = await newUser()
  const second = await next(t, first.refresh_token)
  clock.advance(DAY + 1)
  isProblem(t, await refresh(app, first.refresh_token), 'invalid_refresh_token')
  t.strictSame(await tokensAnswer(app, second), { access: 401, refresh: 401 })
})

t.test('POST /refresh with an old token → 401; the session is revoked with all its tokens, and the log says so', async (t) => {
  const first = await newUser()
  const other = await login(app, first.username)
  const second = await next(t, first.refresh_token)
  const third = await next(t, second.refresh_token)
  isProblem(t, await refresh(app, first.refresh_token), 'invalid_refresh_token')
  t.match(rowOf(path, first.refresh_token), { revoked_reason: 'reuse_detected', revoked_at: clock.now() })
  for (const pair of [third, second]) t.strictSame(await tokensAnswer(app, pair), { access: 401, refresh: 401 })
  t.strictSame(logged(first), ['authn_token_reuse'], 'once')
  t.notMatch(JSON.stringify(log), first.refresh_token.split('.')[2])
  t.strictSame(await tokensAnswer(app, other), { access: 200, refresh: 200 }, 'another session of the user goes on')
})

t.test('POST /refresh with a token newer than the database → 200, and the log says so; a token from before stays an old one', async (t) => {
  const first = await newUser()
  let pair = await next(t, first.refresh_token)
  const { id, ...backup } = rowOf(path, first.refresh_token)
  const behind: Pair[] = []
  for (let i = 0; i < 3; i++) behind.push(pair = await next(t, pair.refresh_token))
  const columns = Object.keys(backup).map((column) => `${column} = ?`).join(', ')
  t.equal(sql(path, `UPDATE sessions SET ${columns} WHERE id = ?`, ...Object.values(backup), id), 1)

  const forward = await next(t, pair.refresh_token)
  t.strictSame([pair, forward].map((one) => generation(one.refresh_token)), [5, 6])
  t.match(rowOf(path, first.refresh_token), { generation: 6, first: 6, previous: 5 })
  t.equal((await next(t, pair.refresh_token)).refresh_token, forward.refresh_token, 'a retry is a replay')
  t.strictSame(logged(first), ['session_fast_forward'])
  const after = await next(t, forward.refresh_token)
  isProblem(t, await refresh(app, behind[0]?.refresh_token ?? ''), 'invalid_refresh_token')
  t.strictSame(await tokensAnswer(app, after), { access: 401, refresh: 401 })
})

t.test('POST /refresh with grace and recovery at 0s → 200 once, and 401 the second time, which ends the session', async (t) => {
  const app = await build(t, { path, now: clock.now, env: { LATCHKEY_REFRESH_GRACE: '0s', LATCHKEY_REFRESH_RECOVERY: '0s' } })
  const first = await newUser(app)
  const second = await next(t, first.refresh_token, app)
  const third = await next(t, second.refresh_token, app)
  isProblem(t, await refresh(app, second.refresh_token), 'invalid_refresh_token')
  t.strictSame(await tokensAnswer(app, third), { access: 401, refresh: 401 })
})

t.test('POST /refresh with the grace alone at 0s → 200 and a sibling at once; with the recovery alone → 401 after the grace', async (t) => {
  const open = (settings: Record<string, string>) => build(t, { path, now: clock.now, env: settings })
  const graceless = await open({ LATCHKEY_REFRESH_GRACE: '0s' })
  const first = await newUser(graceless)
  const tokens = [await next(t, first.refresh_token, graceless), await next(t, first.refresh_token, graceless)]
  t.strictSame(tokens.map((pair) => generation(pair.refresh_token)), [2, 3])

  const forgetful = await open({ LATCHKEY_REFRESH_RECOVERY: '0s' })
  const second = await newUser(forgetful)
  const used = await next(t, second.refresh_token, forgetful)
  clock.advance(GRACE)
  t.equal((await next(t, second.refresh_token, forgetful)).refresh_token, used.refresh_token)
  clock.advance(1)
  isProblem(t, await refresh(forgetful, second.refresh_token), 'invalid_refresh_token')
})

t.test('POST /refresh until the last millisecond of the idle time → 200; after it 401', async (t) => {
  toWholeSecond()
  const first = await newUser()
  clock.advance(first.refresh_expires_in * 1000 - 1)
  const second = await next(t, first.refresh_token)
  t.equal(second.refresh_expires_in, IDLE / 1000, 'it begins anew')
  clock.advance(1)
  const third = await next(t, second.refresh_token)
  clock.advance(third.refresh_expires_in * 1000)
  isProblem(t, await refresh(app, third.refresh_token), 'invalid_refresh_token')
  t.match(rowOf(path, first.refresh_token), { revoked_at: null }, 'it was not reuse')
})

t.test('POST /refresh does not move the end of the session → 200 with ever less time, 401 after thirty days', async (t) => {
  toWholeSecond()
  let pair: Pair = await newUser()
  const left: number[] = []
  for (let week = 1; week <= 4; week++) {
    clock.advance(7 * DAY)
    pair = await next(t, pair.refresh_token)
    left.push(pair.refresh_expires_in)
  }
  t.strictSame(left, [14, 14, 9, 2].map((days) => days * 86_400))
  clock.advance(2 * DAY - 300_000)
  const last = await next(t, pair.refresh_token)
  t.match(last, { expires_in: 300, refresh_expires_in: 300 })
  clock.advance(299_999)
  t.equal((await getPrivate(app, last.access_token)).statusCode, 200)
  const very = await next(t, last.refresh_token)
  t.match(very, { expires_in: 1, refresh_expires_in: 1 })
  clock.advance(1)
  isProblem(t, await refresh(app, very.refresh_token), 'invalid_refresh_token')
  isProblem(t, await getPrivate(app, very.access_token), 'token_expired')
})

t.test('POST /refresh tells in expires_in how long the access token is good → 200 to its last millisecond, 401 after it', async (t) => {
  toWholeSecond()
  const { refresh_token: token } = await newUser()
  const lifetimes = new Set<number>()
  for (let i = 0; i < 20; i++) lifetimes.add((await next(t, token)).expires_in)
  for (const lifetime of lifetimes) t.ok(lifetime >= 810 && lifetime <= 900, `${lifetime} s`)
  t.ok(lifetimes.size > 1, 'clients do not refresh in step')
  const pair = await next(t, token)
  clock.advance(pair.expires_in * 1000 - 1)
  t.equal((await getPrivate(app, pair.access_token)).statusCode, 200)
  clock.advance(1)
  isProblem(t, await getPrivate(app, pair.access_token), 'token_expired')
})

t.test('POST /refresh takes the claims of the user afresh, for a replay too → 200', async (t) => {
  const { user, ...first } = await newUser()
  const { store } = app.db
  const claims = async (token: string) => {
    const { payload } = decode((await next(t, token)).access_token)
    return { is_admin: payload['is_admin'], user_id: payload['user_id'] }
  }
  t.strictSame(await claims(first.refresh_token), { is_admin: undefined, user_id: undefined })
  await store.setClaims(user.id, '{"is_admin":true}')
  sql(path, 'UPDATE users SET external_id = ? WHERE id = ?', '42', user.id)
  t.strictSame(await claims(first.refresh_token), { is_admin: true, user_id: '42' }, 'a replay')
  await store.setClaims(user.id, '{"is_admin":false}')
  clock.advance(GRACE + 1)
  t.strictSame(await claims(first.refresh_token), { is_admin: false, user_id: '42' }, 'a recovery')
  await store.setClaims(user.id, '{}')
  const { refresh_token: token } = await next(t, first.refresh_token)
  t.strictSame(await claims(token), { is_admin: undefined, user_id: '42' }, 'a rotation')
})
