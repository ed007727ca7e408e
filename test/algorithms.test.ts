import { createPublicKey, createSecretKey, hkdfSync, type JsonWebKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { calculateJwkThumbprint, createLocalJWKSet, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { type Algorithm, keyPairAlgorithms, ofSharedSecret, sharedSecretAlgorithms } from '../src/algorithms.ts'
import { run } from '../src/commands.ts'
import { ANNOUNCEMENT } from '../src/key-life.ts'
import { createSigningKey } from '../src/keys.ts'
import { build, fakeClock, folder, getPrivate, login, refresh, registerAndLogin } from './fixtures/app.ts'
import { isProblem, lasting, select } from './fixtures/accounts.ts'
import { terminal } from './fixtures/commands.ts'
import { dataIn } from './fixtures/database.ts'
import { decode, encode, forge, hmac, secretsOf, signAs, stealKey } from './fixtures/forge.ts'

const JWKS = '/.well-known/jwks.json'
/** Of 64 bytes: enough for each of the three. */
const SHARED = 'Zt5xQ9bLw2Vn8Rk4Jd7Gs0Yh3Mf6Pc1TaE-iXoUvBqWzNyKj_HgFlDrSmCpA5e8u'
const NEXT = 'h3Wm8TzQ1rUoA6yNkC0vXbE5gSjP9dLf7iKq'
const algorithms: readonly Algorithm[] = [...keyPairAlgorithms, ...sharedSecretAlgorithms]

/** The settings of a service that signs so now; whatever it was before, the shared secret verifies. */
function settingsFor (algorithm: Algorithm): NodeJS.ProcessEnv {
  return { LATCHKEY_ALGORITHM: algorithm, [ofSharedSecret(algorithm) ? 'LATCHKEY_HS_SECRET' : 'LATCHKEY_HS_SECRET_FALLBACKS']: SHARED }
}

async function jwksOf (app: FastifyInstance): Promise<(JsonWebKey & { kid: string })[]> {
  return (await app.inject(JWKS)).json().keys
}

/** What another service does, with a library of its own: the published keys, or the secret that it shares. */
async function verifyElsewhere (app: FastifyInstance, token: string, { algorithm, now }: { algorithm: Algorithm, now: number }) {
  const options = { algorithms: [algorithm], issuer: 'http://localhost:3000', audience: 'latchkey', typ: 'at+jwt', currentDate: new Date(now) }
  return ofSharedSecret(algorithm)
    ? await jwtVerify(token, createSecretKey(SHARED, 'utf8'), options)
    : await jwtVerify(token, createLocalJWKSet((await app.inject(JWKS)).json()), options)
}

/** The key that signs, as a thief has it. */
async function keyOf (app: FastifyInstance, path: string, algorithm: Algorithm): Promise<KeyObject> {
  return ofSharedSecret(algorithm) ? createSecretKey(SHARED, 'utf8') : (await stealKey(app, path)).privateKey
}

/** The other algorithms that a key could be used with, were it not bound to one. */
function othersOf (algorithm: Algorithm): Algorithm[] {
  const family = /^[RP]S/.test(algorithm) ? /^[RP]S/ : new RegExp(`^${algorithm.slice(0, 2)}`)
  return algorithms.filter((other) => family.test(other) && other !== algorithm)
}

/** Bytes that somebody may think to be an HMAC's key: what is public of a key pair, or what is nearly the secret. */
async function guessesAt (app: FastifyInstance, key: KeyObject): Promise<(string | Buffer)[]> {
  if (key.type === 'secret') return ['', `${SHARED}\n`, SHARED.slice(0, 63), Buffer.from(SHARED, 'base64url'), String(app.keys.signer()?.kid)]
  const publicKey = createPublicKey(key)
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const jwks = await jwksOf(app)
  return [pem, pem.trimEnd(), publicKey.export({ type: 'spki', format: 'der' }), ...[...jwks, { keys: jwks }].map((form) => JSON.stringify(form)), '']
}

/** Tokens with the claims of a good one that its key did not sign as it should. */
async function forgeries (app: FastifyInstance, path: string, good: string): Promise<Record<string, string>> {
  const { header, payload } = decode(good)
  const algorithm = algorithms.find((one) => one === header['alg']) ?? 'ES256'
  const key = await keyOf(app, path, algorithm)
  const [h, p, s = ''] = good.split('.')
  const guesses = (await guessesAt(app, key)).flatMap((guess, i) => sharedSecretAlgorithms.flatMap((alg) => [header, { ...header, alg }, { alg, typ: 'at+jwt' }]
    .map((head, j) => [`guess ${i} ${alg} ${j}`, forge(head, payload, hmac(guess, `sha${alg.slice(2)}`))])))
  const others = othersOf(algorithm).flatMap((alg) => [header, { ...header, alg }].map((head, i) => [`${alg} ${i}`, forge(head, payload, signAs(alg, key))]))
  return {
    ...Object.fromEntries([...guesses, ...others]),
    'no signature': `${h}.${p}.`,
    none: `${encode({ ...header, alg: 'none' })}.${p}.`,
    'a kid of another': forge({ ...header, kid: 'A'.repeat(43) }, payload, signAs(algorithm, key)),
    'no kid': forge({ alg: algorithm, typ: 'at+jwt' }, payload, signAs(algorithm, key)),
    'as Simple JWT makes them': forge({ alg: algorithm, typ: 'JWT' }, payload, signAs(algorithm, key)),
    'cut by a byte': `${h}.${p}.${encode(Buffer.from(s, 'base64url').subarray(0, -1))}`,
    zeros: `${h}.${p}.${encode(Buffer.alloc(Buffer.from(s, 'base64url').length))}`
  }
}

async function refusesForgeries (t: Test, app: FastifyInstance, path: string, good: string) {
  const invalid = lasting(await getPrivate(app, 'garbage'))
  for (const [about, token] of Object.entries(await forgeries(app, path, good))) t.strictSame(lasting(await getPrivate(app, token)), invalid, about)
}

const sizes: Record<string, object> = {
  ES256: { namedCurve: 'prime256v1' }, ES384: { namedCurve: 'secp384r1' }, ES512: { namedCurve: 'secp521r1' }, EdDSA: {}
}

t.test('one session through every algorithm in turn → 200: its tokens verify elsewhere, forgeries are refused, and nobody is logged out', async (t) => {
  const path = folder(t)
  const clock = fakeClock()
  const start = async (algorithm: Algorithm) => await build(t, { path, now: clock.now, env: { ...settingsFor(algorithm), LATCHKEY_ACCESS_TTL: '24h' } })
  const first = await start('ES256')
  let { access_token: access, refresh_token: token } = await registerAndLogin(first)
  await first.close()
  const before = [access]
  for (const algorithm of ['HS256', 'ES256', ...algorithms.filter((one) => one !== 'ES256' && one !== 'HS256'), 'ES256', 'HS256'] as const) {
    await t.test(algorithm, async (t) => {
      const app = await start(algorithm)
      clock.advance(ANNOUNCEMENT)
      ;({ access_token: access, refresh_token: token } = (await refresh(app, token)).json())
      t.strictSame(decode(access).header, { alg: algorithm, typ: 'at+jwt', kid: app.keys.signer()?.kid })
      t.ok(await verifyElsewhere(app, access, { algorithm, now: clock.now() }))
      for (const one of [...before, access]) t.equal((await getPrivate(app, one)).statusCode, 200)
      await refusesForgeries(t, app, path, access)
      before.push(access)
      const jwks = await jwksOf(app)
      for (const key of jwks) t.equal(key.kid, await calculateJwkThumbprint({ ...key }), 'RFC 7638')
      const jwk = jwks.find(({ kid }) => kid === decode(access).header['kid'])
      t.equal(jwk === undefined, ofSharedSecret(algorithm), 'a secret is not published')
      if (jwk) t.match(createPublicKey({ key: jwk, format: 'jwk' }).asymmetricKeyDetails, sizes[algorithm] ?? { modulusLength: 3072, publicExponent: 65_537n })
      await app.close()
    })
  }
})

t.test('a start with HS256 → no key pair is made or published; its kid tells nothing, and is the same at each start', async (t) => {
  const path = folder(t)
  const kids = await Promise.all(['HS256', 'HS256', 'HS512'].map(async (algorithm) => {
    const app = await build(t, { path, env: { LATCHKEY_ALGORITHM: algorithm, LATCHKEY_HS_SECRET: SHARED } })
    t.strictSame((await app.inject(JWKS)).json(), { keys: [] })
    t.strictSame((await app.inject('/.well-known/oauth-authorization-server')).json(), { issuer: 'http://localhost:3000', jwks_uri: `http://localhost:3000${JWKS}` })
    t.equal((await app.inject('/readyz')).statusCode, 200)
    return String(app.keys.signer()?.kid)
  }))
  t.strictSame(select(path, 'SELECT * FROM signing_keys'), [])
  t.equal(kids[0], kids[1])
  t.not(kids[0], kids[2], 'a kid stands for one algorithm')
  t.equal(kids[0], Buffer.from(hkdfSync('sha256', SHARED, '', 'latchkey HS256 key id', 16)).toString('base64url'))
})

t.test('another LATCHKEY_HS_SECRET, the old one in the fallbacks → 200 for the tokens of both; without it → 401, and a refresh → 200', async (t) => {
  const path = folder(t)
  const start = async (env: NodeJS.ProcessEnv) => await build(t, { path, env: { LATCHKEY_ALGORITHM: 'HS256', ...env } })
  const { access_token: before, refresh_token: token } = await registerAndLogin(await start({ LATCHKEY_HS_SECRET: SHARED }))
  const rotated = await start({ LATCHKEY_HS_SECRET: NEXT, LATCHKEY_HS_SECRET_FALLBACKS: SHARED })
  const { access_token: after } = await login(rotated)
  t.not(decode(after).header['kid'], decode(before).header['kid'])
  for (const one of [before, after]) t.equal((await getPrivate(rotated, one)).statusCode, 200)

  const dropped = await start({ LATCHKEY_HS_SECRET: NEXT })
  isProblem(t, await getPrivate(dropped, before), 'invalid_token')
  t.equal((await getPrivate(dropped, after)).statusCode, 200)
  const { access_token: fresh } = (await refresh(dropped, token)).json()
  t.equal((await getPrivate(dropped, fresh)).statusCode, 200)
})

t.test('LATCHKEY_HS_SECRET that is the secret made beside the database → no start', async (t) => {
  const path = folder(t)
  await (await build(t, { path })).close()
  const made = readFileSync(join(path, 'secret'), 'utf8').trim()
  const expected = { name: 'ConfigError', message: /^LATCHKEY_HS_SECRET: expected a secret of its own / }
  await t.rejects(build(t, { path, env: { LATCHKEY_ALGORITHM: 'HS256', LATCHKEY_HS_SECRET: made } }), expected)
  await t.rejects(build(t, { path, env: { LATCHKEY_HS_SECRET_FALLBACKS: made } }), expected)
})

t.test('latchkey keys with HS256: rotate says how in one line; the key pair from before is in reserve, and can be revoked', async (t) => {
  const path = folder(t)
  const env = { LATCHKEY_ALGORITHM: 'HS256', LATCHKEY_HS_SECRET: SHARED }
  const before = await build(t, { path })
  const { access_token: token, refresh_token: refreshToken } = await registerAndLogin(before)
  const kid = String(before.keys.signer()?.kid)
  await before.close()
  const app = await build(t, { path, env })
  const command = async (...args: string[]) => {
    const lines: string[] = []
    await run(['keys', ...args], terminal(lines, { env: { ...dataIn(path), ...env } }))
    return lines.join('\n')
  }
  for (const args of [['rotate'], ['rotate', '--now']]) {
    await t.rejects(command(...args), { name: 'ConfigError', message: /^LATCHKEY_HS_SECRET: set a new one and put the old one in LATCHKEY_HS_SECRET_FALLBACKS [^\n]+$/ })
  }
  t.match(await command('list'), new RegExp(`^${kid}  ES256  reserve `, 'm'))
  t.strictSame((await jwksOf(app)).map((key) => key.kid), [kid])
  t.equal((await getPrivate(app, token)).statusCode, 200)

  t.match(await command('revoke', kid), /is revoked/)
  await app.keys.reload()
  isProblem(t, await getPrivate(app, token), 'invalid_token')
  t.match(await command('list'), new RegExp(`^${kid}  ES256  revoked `, 'm'), 'none is made in its stead')
  t.strictSame(await jwksOf(app), [])
  await app.close()

  const back = await build(t, { path, env: { LATCHKEY_HS_SECRET_FALLBACKS: SHARED } })
  const { access_token: fresh } = (await refresh(back, refreshToken)).json()
  t.match(decode(fresh).header, { alg: 'ES256' })
  t.equal((await getPrivate(back, fresh)).statusCode, 200)
})

t.test('GET /private with HS256 while another process puts a key under a secret that is not configured here → 200', async (t) => {
  const path = folder(t)
  const app = await build(t, { path, env: { LATCHKEY_ALGORITHM: 'HS256', LATCHKEY_HS_SECRET: SHARED } })
  const { primary } = secretsOf(path, { LATCHKEY_SECRET: NEXT })
  t.ok(await app.db.store.insertSigningKey(await createSigningKey('ES256', primary, { now: 1, activeFrom: 2 })))
  await app.keys.reload()
  const { access_token: token } = await registerAndLogin(app)
  t.equal((await getPrivate(app, token)).statusCode, 200)
  t.strictSame(await jwksOf(app), [])
})
