import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { createAccessTokens } from '../src/access-tokens.ts'
import { parseClaims } from '../src/claims.ts'
import { loadConfig } from '../src/config.ts'
import { bearer, build, fakeClock, folder, getPrivate, login, PASSWORD, refresh, register, settings } from './fixtures/app.ts'
import { sql } from './fixtures/accounts.ts'
import { decode, stealKey } from './fixtures/forge.ts'

const DAY = 86_400_000
const names = ['iss', 'aud', 'sub', 'client_id', 'exp', 'iat', 'jti', 'sid', 'token_type']
const path = folder(t)
const clock = fakeClock()
let dice = 0
const app = await build(t, { path, now: clock.now, random: () => dice })
const { id } = await register(app, 'ada', { email: 'ada@private.example' })

/** As an operator or an import does. */
async function setUser (app: FastifyInstance, path: string, { claims, externalId }: { claims: string, externalId: string | null }) {
  const user = await app.db.store.findUserByUsername('ada')
  if (user === undefined) throw new Error('ada is gone')
  await app.db.store.setClaims(user.id, claims)
  sql(path, 'UPDATE users SET external_id = ? WHERE id = ?', externalId, user.id)
}

for (const algorithm of ['ES256', 'EdDSA', 'RS256']) {
  t.test(`POST /login with ${algorithm} → 200 and an access token of the RFC 9068 profile, which says no more than it must`, async (t) => {
    const path = folder(t)
    const app = await build(t, { path, now: clock.now, random: () => 0, env: { LATCHKEY_ALGORITHM: algorithm } })
    const { id } = await register(app, 'ada.lovelace', { email: 'countess@private.example' })
    const { access_token: token, expires_in: expiresIn } = await login(app, 'ada.lovelace')
    const { header, payload } = decode(token)
    const iat = clock.now() / 1000
    t.strictSame(header, { alg: algorithm, typ: 'at+jwt', kid: app.keys.signer()?.kid })
    t.strictSame(payload, {
      iss: 'http://localhost:3000',
      aud: ['latchkey'],
      sub: id,
      client_id: 'latchkey',
      exp: iat + 900,
      iat,
      jti: payload['jti'],
      sid: payload['sid'],
      token_type: 'access'
    })
    t.equal(expiresIn, 900)
    const sessions = (await app.inject({ url: '/sessions', headers: bearer(token) })).json()
    t.equal(payload['sid'], sessions[0].id)
    t.notMatch(JSON.stringify(payload), /lovelace|countess|private/)
    t.equal((await getPrivate(app, token)).statusCode, 200)
  })

  t.test(`POST /login with ${algorithm} at the largest settings and claims → a token of at most 4 KiB, which opens → 200`, async (t) => {
    const path = folder(t)
    const audience = ['a'.repeat(200), 'b'.repeat(200), '"'.repeat(43), 'c']
    const env = { LATCHKEY_ALGORITHM: algorithm, LATCHKEY_PUBLIC_URL: `https://latchkey.example/${'x'.repeat(225)}`, LATCHKEY_AUDIENCE: audience.join() }
    t.equal(JSON.stringify(audience).length, 500)
    const app = await build(t, { path, env })
    await register(app)
    const claims = parseClaims(`{"a":"${'x'.repeat(1_016)}"}`)
    t.equal(claims.outcome, 'valid')
    for (const externalId of ['9'.repeat(255), '字'.repeat(85), '"'.repeat(255)]) {
      if (claims.outcome === 'valid') await setUser(app, path, { claims: claims.claims, externalId })
      const { access_token: token, refresh_token: refreshToken } = await login(app)
      t.ok(token.length <= 4_096, `${token.length} characters`)
      t.strictSame(decode(token).payload['aud'], audience)
      t.equal((await getPrivate(app, token)).statusCode, 200)
      const { access_token: fresh } = (await refresh(app, refreshToken)).json()
      t.equal((await getPrivate(app, fresh)).statusCode, 200)
    }
  })
}

t.test('an audience that would make tokens too large → no start', async (t) => {
  for (const audience of ['"'.repeat(249), '\u20ac'.repeat(166), '\u0001'.repeat(83), Array.from({ length: 125 }, () => 'a').join()]) {
    t.throws(() => loadConfig({ LATCHKEY_AUDIENCE: audience }), { name: 'ConfigError', message: /^LATCHKEY_AUDIENCE: / })
  }
})

t.test('POST /login, POST /refresh: a life of 90 to 100 % of the setting, and expires_in tells which → 200', async (t) => {
  const { refresh_token: first } = await login(app)
  let token = first
  for (const [random, expected] of [[0, 900], [0.5, 855], [0.999999, 810]] as const) {
    dice = random
    for (const answer of [await login(app), (await refresh(app, token)).json()]) {
      const { payload } = decode(answer.access_token)
      t.equal(answer.expires_in, expected)
      t.equal(Number(payload['exp']) - Number(payload['iat']), expected)
      token = answer.refresh_token
    }
  }
  dice = 0
})

t.test('POST /login at a fraction of a second → whole seconds in the token, and it is good to its last millisecond → 200, 401', async (t) => {
  clock.advance(999)
  const { access_token: token, expires_in: expiresIn } = await login(app)
  const { exp, iat } = decode(token).payload
  t.ok(Number.isInteger(exp) && Number.isInteger(iat))
  t.equal(iat, Math.floor(clock.now() / 1000))
  t.equal(exp, Number(iat) + expiresIn)
  clock.advance(expiresIn * 1000 - 1_000)
  t.equal((await getPrivate(app, token)).statusCode, 200)
  clock.advance(1)
  t.equal((await getPrivate(app, token)).json().code, 'token_expired')
})

t.test('GET /private with LATCHKEY_LEEWAY → 200 so much longer, to the last millisecond, then 401 token_expired; the session\'s end comes first', async (t) => {
  const path = folder(t)
  const start = async (env: NodeJS.ProcessEnv) => await build(t, { path, now: clock.now, random: () => 0, env: { LATCHKEY_LEEWAY: '90s', LATCHKEY_ACCESS_TTL: '60s', ...env } })
  const app = await start({})
  await register(app)
  const { access_token: token, expires_in: expiresIn } = await login(app)
  t.equal(expiresIn, 60, 'clients are told as ever')
  clock.advance(Number(decode(token).payload['exp']) * 1000 + 90_000 - 1 - clock.now())
  t.equal((await getPrivate(app, token)).statusCode, 200)
  clock.advance(1)
  t.equal((await getPrivate(app, token)).json().code, 'token_expired')

  const { access_token: last } = await login(await start({ LATCHKEY_SESSION_IDLE: '60s' }))
  clock.advance(59_999)
  t.equal((await getPrivate(app, last)).statusCode, 200)
  clock.advance(1_001)
  t.equal((await getPrivate(app, last)).json().code, 'invalid_token')
})

t.test('GET /private with LATCHKEY_LEEWAY and a token of the near future → 200; of a later one → 401', async (t) => {
  for (const [leeway, iat, nbf] of [['0s', 30, 0], ['10s', 30, 10], ['5m', 300, 300]] as const) {
    const path = folder(t)
    const app = await build(t, { path, now: clock.now, env: { LATCHKEY_LEEWAY: leeway } })
    await register(app)
    const { payload } = decode((await login(app)).access_token)
    const { forge } = await stealKey(app, path)
    const seconds = Math.floor(clock.now() / 1000)
    const answer = async (claims: object) => (await getPrivate(app, forge({ ...payload, exp: seconds + 900, ...claims }))).statusCode
    t.strictSame([await answer({ iat: seconds + iat }), await answer({ iat: seconds + iat + 1 })], [200, 401], `iat, ${leeway}`)
    t.strictSame([await answer({ nbf: seconds + nbf }), await answer({ nbf: seconds + nbf + 1 })], [200, 401], `nbf, ${leeway}`)
  }
})

t.test('POST /refresh near the end of a session → 200, and no access token outlives it', async (t) => {
  const end = clock.now() + 30 * DAY
  let { refresh_token: token } = await login(app)
  const next = async () => {
    const answer = (await refresh(app, token)).json()
    token = answer.refresh_token
    const { exp } = decode(answer.access_token).payload
    t.ok(Number(exp) * 1000 <= end)
    return answer
  }
  for (const days of [13, 13]) {
    clock.advance(days * DAY)
    t.equal((await next()).expires_in, 900)
  }
  clock.advance(4 * DAY - 60_000)
  const last = await next()
  t.equal(last.expires_in, 60)
  clock.advance(59_999)
  t.equal((await getPrivate(app, last.access_token)).statusCode, 200)
  t.ok((await next()).expires_in <= 1)
  clock.advance(1)
  t.equal((await refresh(app, token)).statusCode, 401)
})

t.test('the claims of a user are in every new access token, afresh at each refresh → 200', async (t) => {
  await setUser(app, path, { claims: '{"is_admin":true,"teams":[{"id":7}],"name":"Zoë 🗝"}', externalId: '4711' })
  const { access_token: token, refresh_token: refreshToken } = await login(app)
  const { payload } = decode(token)
  t.match(payload, { is_admin: true, teams: [{ id: 7 }], name: 'Zoë 🗝', user_id: '4711', sub: id })
  t.strictSame(Object.keys(payload).sort(), [...names, 'is_admin', 'name', 'teams', 'user_id'].sort())
  t.equal((await getPrivate(app, token)).statusCode, 200)

  await setUser(app, path, { claims: '{"is_admin":false}', externalId: null })
  const fresh = decode((await refresh(app, refreshToken)).json().access_token).payload
  t.strictSame(Object.keys(fresh).sort(), [...names, 'is_admin'].sort())
  t.equal(fresh['is_admin'], false)
})

t.test('claims in the database that a token has a meaning for → 200, and the token says its own', async (t) => {
  const hostile = Object.fromEntries(names.map((name) => [name, 'hostile']))
  await setUser(app, path, { claims: JSON.stringify(hostile), externalId: null })
  const { access_token: token } = await login(app)
  t.notMatch(JSON.stringify(decode(token).payload), /hostile/)
  t.equal((await getPrivate(app, token)).statusCode, 200)
  await setUser(app, path, { claims: '{}', externalId: null })
})

t.test('jti: 128 random bits, never the same twice', async (t) => {
  const tokens = createAccessTokens(app.keys, settings(path), { now: clock.now, random: Math.random })
  const subject = { userId: id, sessionId: id, expiresAt: clock.now() + DAY, claims: '{}', externalId: null }
  const ids = Array.from({ length: 1_000 }, () => String(decode(tokens.issue(subject).token).payload['jti']))
  t.ok(ids.every((one) => Buffer.from(one, 'base64url').length === 16))
  t.equal(new Set(ids).size, 1_000)
})

t.test('two logins of one user in one millisecond → 200, with tokens of two sessions', async (t) => {
  const [one, other] = (await Promise.all([login(app), login(app)])).map(({ access_token: token }) => decode(token).payload)
  t.equal(one?.['sub'], other?.['sub'])
  t.not(one?.['sid'], other?.['sid'])
  t.not(one?.['jti'], other?.['jti'])
})

t.test('POST /login when every key is revoked → 500 internal_error: nothing is sent unsigned', async (t) => {
  const app = await build(t)
  await register(app)
  await app.db.store.revokeSigningKey(String(app.keys.signer()?.kid), Date.now())
  await app.keys.reload()
  const response = await app.inject({ method: 'POST', url: '/login', payload: { username: 'ada', password: PASSWORD } })
  t.equal(response.statusCode, 500)
  t.equal(response.json().code, 'internal_error')
})
