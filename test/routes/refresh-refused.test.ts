import { randomBytes, randomUUID } from 'node:crypto'
import t from 'tap'
import { build, fakeClock, folder, login, post, refresh, registerAndLogin } from '../fixtures/app.ts'
import { isInvalid, isProblem, lasting, failWrites, sql, tokensAnswer } from '../fixtures/accounts.ts'
import { decode, forge, hmac, type Part, secretsOf } from '../fixtures/forge.ts'

const path = folder(t)
const clock = fakeClock()
const secret = () => randomBytes(36).toString('base64')
const env = { LATCHKEY_SECRET: secret() }
const app = await build(t, { path, env, now: clock.now })

t.test('POST /refresh without what it needs → 400 with one entry for each field at fault', async (t) => {
  const attempt = (body: object) => post(app, '/refresh', body)
  isInvalid(t, await attempt({}), { '/refresh_token': 'required' })
  for (const token of [1, null, true, ['x'], { $ne: '' }]) isInvalid(t, await attempt({ refresh_token: token }), { '/refresh_token': 'type' })
  isInvalid(t, await attempt({ refresh_token: 'x', scope: 'sentinel' }), { '/scope': 'unknown_field' })
  isInvalid(t, await attempt({ refreshToken: 'x' }), { '/refreshToken': 'unknown_field' })
  isInvalid(t, await attempt([]), { '': 'type' })
  isInvalid(t, await app.inject({ method: 'POST', url: '/refresh' }), { '/refresh_token': 'required' })
  isProblem(t, await app.inject({ url: '/refresh' }), 'method_not_allowed')
})

t.test('POST /refresh that fails → one 401, whatever the cause', async (t) => {
  const { user, ...pair } = await registerAndLogin(app)
  const unknown = await refresh(app, 'no token')
  isProblem(t, unknown, 'invalid_refresh_token')
  t.equal(unknown.headers['www-authenticate'], 'Bearer realm="latchkey"')
  const same = async (token: string, why: string) => t.strictSame(lasting(await refresh(app, token)), lasting(unknown), why)

  const { primary } = secretsOf(path, env)
  const { header, payload } = decode(pair.refresh_token)
  const [head = '', body = '', signature = ''] = pair.refresh_token.split('.')
  const signed = (changes: object, under: Part = header) => forge(under, { ...payload, ...changes }, hmac(primary.refresh))
  const without = (claim: string) => forge(header, Object.fromEntries(Object.entries(payload).filter(([name]) => name !== claim)), hmac(primary.refresh))
  t.equal(signed({}), pair.refresh_token, 'this is how it is signed')

  await same('', 'nothing')
  await same('x'.repeat(16_000), 'very long')
  await same(pair.access_token, 'an access token')
  await same(randomBytes(300).toString('base64url'), 'random')
  for (const text of [` ${pair.refresh_token}`, `${pair.refresh_token}\n`, `${pair.refresh_token}.`, `${head}.${body}`, `${head}.${body}.`, `${head}..${signature}`, `${pair.refresh_token}=`]) {
    await same(text, JSON.stringify(text.slice(-12)))
  }
  await same(signed({ sid: randomUUID() }), 'a session that never was')
  await same(signed({ sid: null }), 'no session id')
  await same(signed({ exp: clock.now() / 1000 }), 'expired')
  for (const claim of ['sub', 'sid', 'gen', 'jti', 'iat', 'exp']) await same(without(claim), `without ${claim}`)
  await same(forge(header, 'null', hmac(primary.refresh)), 'a payload of null')
  await same(forge(header, '{', hmac(primary.refresh)), 'a payload that is no JSON')
  await same(signed({}, { ...header, typ: 'at+jwt' }), 'another type')
  await same(signed({}, { ...header, crit: ['exp'] }), 'a critical header')
  await same(signed({}, { alg: 'HS256', typ: 'rt+jwt' }), 'no key id')
  await same(signed({}, { ...header, kid: '../../secret' }), 'an unknown key id')
  await same(`${head}.${body}.${Buffer.from(signature, 'base64url').reverse().toString('base64url')}`, 'a wrong signature')
  await same(forge({ ...header, alg: 'none' }, payload, () => Buffer.alloc(0)), 'no signature')
  await same(forge({ ...header, alg: 'HS512' }, payload, hmac(primary.refresh, 'sha512')), 'another algorithm')
  await same(forge(header, payload, hmac(primary.wrapping)), 'another key of ours')
  await same(forge(header, payload, hmac(Buffer.alloc(0))), 'an empty key')
  await same(forge(header, payload, hmac(env.LATCHKEY_SECRET)), 'the master secret itself')
  await same(forge(header, payload, hmac(secretsOf(path, { LATCHKEY_SECRET: secret() }).primary.refresh)), 'another secret')
  t.strictSame(await tokensAnswer(app, pair), { access: 200, refresh: 200 }, 'and none of these has ended anything')

  const loggedOut = await login(app)
  await post(app, '/logout', { refresh_token: loggedOut.refresh_token })
  await same(loggedOut.refresh_token, 'logged out')
  const reused = await login(app)
  await refresh(app, (await refresh(app, reused.refresh_token)).json().refresh_token)
  await same(reused.refresh_token, 'reused')
  await same(reused.refresh_token, 'reused, and revoked')
  const idle = await login(app)
  sql(path, 'UPDATE sessions SET idle_expires_at = ? WHERE id = ?', clock.now(), decode(idle.refresh_token).payload['sid'])
  await same(idle.refresh_token, 'idle in the database')
  const deleted = await login(app)
  sql(path, 'DELETE FROM sessions WHERE id = ?', decode(deleted.refresh_token).payload['sid'])
  await same(deleted.refresh_token, 'deleted')
  const disabled = await login(app)
  await app.db.store.disableUser(user.id, clock.now())
  await same(disabled.refresh_token, 'disabled')
  await app.db.store.enableUser(user.id)
  await same(disabled.refresh_token, 'enabled again: its sessions stay over')
})

t.test('POST /refresh after the master secret has changed → 200 where its predecessor is a fallback, and 401 where it is not', async (t) => {
  const path = folder(t)
  const [old, fresh] = [secret(), secret()]
  const run = async (env: Record<string, string>, work: (app: Awaited<ReturnType<typeof build>>) => Promise<void>) => {
    const app = await build(t, { path, env, now: clock.now })
    await work(app)
    await app.close()
  }
  const tokens: Record<string, string> = {}

  await run({ LATCHKEY_SECRET: old }, async (app) => {
    await registerAndLogin(app)
    for (const name of ['moved', 'lost', 'asleep']) tokens[name] = (await login(app)).refresh_token
  })
  const { header, payload } = decode(tokens['moved'] ?? '')
  const stolen = (changes: object) => forge(header, { ...payload, ...changes }, hmac(secretsOf(path, { LATCHKEY_SECRET: old }).primary.refresh))

  await run({ LATCHKEY_SECRET: fresh, LATCHKEY_SECRET_FALLBACKS: old }, async (app) => {
    const moved = await refresh(app, tokens['moved'] ?? '')
    t.equal(moved.statusCode, 200)
    t.not(decode(moved.json().refresh_token).header['kid'], header['kid'], 'the session has moved to the new secret')
    t.equal((await refresh(app, tokens['moved'] ?? '')).json().refresh_token, moved.json().refresh_token, 'a replay of a token of the old one')
    clock.advance(10_001)
    const lost = await refresh(app, tokens['moved'] ?? '')
    t.equal(lost.statusCode, 200, 'a recovery by it')
    for (const gen of [2, 3, 4]) t.equal((await refresh(app, stolen({ gen }))).statusCode, 401, `the old secret gives no token of generation ${gen}`)
    t.equal((await refresh(app, lost.json().refresh_token)).statusCode, 200, 'which ends nothing')
    tokens['lost'] = (await refresh(app, tokens['lost'] ?? '')).json().refresh_token
  })
  await run({ LATCHKEY_SECRET: fresh }, async (app) => {
    t.equal((await refresh(app, tokens['lost'] ?? '')).statusCode, 200)
    isProblem(t, await refresh(app, tokens['asleep'] ?? ''), 'invalid_refresh_token')
  })
})

t.test('POST /refresh whose row names a secret that is gone → 401, for a replay and a recovery', async (t) => {
  const path = folder(t)
  const [kept, dropped] = [secret(), secret()]
  const start = (env: Record<string, string>) => build(t, { path, env, now: clock.now })
  const before = await start({ LATCHKEY_SECRET: kept })
  const { refresh_token: token } = await registerAndLogin(before)
  await before.close()
  const during = await start({ LATCHKEY_SECRET: dropped, LATCHKEY_SECRET_FALLBACKS: kept })
  t.equal((await refresh(during, token)).statusCode, 200)
  await during.close()
  // It takes the signing keys back to the secret that is kept.
  const back = await start({ LATCHKEY_SECRET: kept, LATCHKEY_SECRET_FALLBACKS: dropped })
  t.equal((await refresh(back, token)).statusCode, 200)
  await back.close()
  const after = await start({ LATCHKEY_SECRET: kept })
  isProblem(t, await refresh(after, token), 'invalid_refresh_token')
  clock.advance(10_001)
  isProblem(t, await refresh(after, token), 'invalid_refresh_token')
})

t.test('POST /refresh while the database cannot answer → 503 unavailable, and the token is as good as before', async (t) => {
  const pair = await registerAndLogin(app, 'unlucky')
  const mend = failWrites(path, 'sessions', 'generation')
  const response = await refresh(app, pair.refresh_token)
  isProblem(t, response, 'unavailable')
  t.equal(response.headers['retry-after'], '5')
  mend()
  t.strictSame(await tokensAnswer(app, pair), { access: 200, refresh: 200 })
})

t.test('POST /refresh of a session that another process keeps changing → 503 unavailable, and the token is as good as before', async (t) => {
  const pair = await registerAndLogin(app, 'unsteady')
  const sid = decode(pair.refresh_token).payload['sid']
  const revoke = (at: number | null) => t.equal(sql(path, 'UPDATE sessions SET revoked_at = ? WHERE id = ?', at, sid), 1)
  const { rotateSession } = app.db.store
  const unsteady = t.intercept(app.db.store, 'rotateSession', {
    value: async (...args: Parameters<typeof rotateSession>) => {
      revoke(clock.now())
      const rotated = await rotateSession(...args)
      revoke(null)
      return rotated
    }
  })
  isProblem(t, await refresh(app, pair.refresh_token), 'unavailable')
  unsteady.restore()
  t.strictSame(await tokensAnswer(app, pair), { access: 200, refresh: 200 })
})

t.test('POST /refresh with neither a body nor a cookie, where cookies are on → 401 as for a bad token', async (t) => {
  const browsers = await build(t, { path, now: clock.now, env: { ...env, LATCHKEY_COOKIES: 'on' } })
  const response = await browsers.inject({ method: 'POST', url: '/refresh' })
  isProblem(t, response, 'invalid_refresh_token')
  t.strictSame(lasting(response), lasting(await refresh(browsers, 'no token')))
})
