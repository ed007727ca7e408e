import type { FastifyInstance } from 'fastify'
import { calculateJwkThumbprint, createLocalJWKSet, createRemoteJWKSet, jwtVerify } from 'jose'
import t from 'tap'
import { rotateKey } from '../../src/key-rotation.ts'
import { ANNOUNCEMENT } from '../../src/key-life.ts'
import { lasting } from '../fixtures/accounts.ts'
import { build, fakeClock, folder, getPrivate, login, registerAndLogin, settings } from '../fixtures/app.ts'
import { secretsOf } from '../fixtures/forge.ts'

const JWKS = '/.well-known/jwks.json'
const METADATA = ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'] as const
const members: Record<string, string[]> = {
  ES256: ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'],
  EdDSA: ['alg', 'crv', 'kid', 'kty', 'use', 'x'],
  RS256: ['alg', 'e', 'kid', 'kty', 'n', 'use']
}

const path = folder(t)
const app = await build(t, { path, env: { LATCHKEY_PUBLIC_URL: 'https://auth.example.com/latchkey' } })

/** As `latchkey keys rotate` does, and the service reads it. */
async function rotate (app: FastifyInstance, path: string, { env = {}, now = Date.now, immediately = false }: { env?: NodeJS.ProcessEnv, now?: () => number, immediately?: boolean } = {}) {
  const key = await rotateKey({ store: app.db.store, secrets: secretsOf(path, env), settings: settings(path, env), now }, { immediately })
  await app.keys.reload()
  return key?.kid
}

t.test(`GET ${JWKS} → 200, the public key alone, to be kept for five minutes`, async (t) => {
  const response = await app.inject(JWKS)
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'application/jwk-set+json; charset=utf-8')
  t.equal(response.headers['cache-control'], 'public, max-age=300')
  t.match(response.headers['etag'], /^"[\w-]{43}"$/)
  t.strictSame(Object.keys(response.json()), ['keys'])
  t.match(response.json().keys, [{ kty: 'EC', crv: 'P-256', use: 'sig', alg: 'ES256', kid: app.keys.signer()?.kid }])
  t.equal((await app.inject(`${JWKS}/`)).statusCode, 200)
})

t.test(`HEAD ${JWKS} → 200, the same headers`, async (t) => {
  const whole = lasting(await app.inject(JWKS))
  t.equal(whole.statusCode, 200)
  t.strictSame(lasting(await app.inject({ method: 'HEAD', url: JWKS })), { ...whole, body: '' })
})

t.test(`GET ${JWKS} with If-None-Match that names its ETag → 304; any other → 200`, async (t) => {
  const { headers: { etag = '' }, body } = await app.inject(JWKS)
  const ask = (value: string) => app.inject({ url: JWKS, headers: { 'if-none-match': value } })
  const tag = String(etag)
  for (const value of [tag, `W/${tag}`, '*', `"x", ${tag}`, `"x",W/${tag},"y"`, `  ${tag}  `, `"x" ,\t${tag}`]) {
    const response = await ask(value)
    t.equal(response.statusCode, 304, value)
    t.equal(response.body, '')
    t.match(response.headers, { etag, 'cache-control': 'public, max-age=300' })
    t.notOk('content-type' in response.headers)
  }
  for (const value of ['', '""', '"x"', tag.replaceAll('"', ''), tag.slice(0, -2), `w/${tag}`, `${tag}x`, '"*"', tag.toUpperCase()]) {
    const response = await ask(value)
    t.equal(response.statusCode, 200, value)
    t.equal(response.body, body)
  }
})

t.test(`GET ${JWKS} after a rotation → 200, the announced key too, and another ETag`, async (t) => {
  const before = await app.inject(JWKS)
  const kid = await rotate(app, path)
  const after = await app.inject({ url: JWKS, headers: { 'if-none-match': String(before.headers['etag']) } })
  t.equal(after.statusCode, 200)
  t.not(after.headers['etag'], before.headers['etag'])
  t.strictSame(after.json().keys.map((key: { kid: string }) => key.kid), [app.keys.signer()?.kid, kid])
  t.equal((await app.inject({ url: JWKS, headers: { 'if-none-match': String(after.headers['etag']) } })).statusCode, 304)
})

for (const url of METADATA) {
  t.test(`GET ${url} → 200, the issuer and where its keys are, from the settings`, async (t) => {
    const response = await app.inject(url)
    t.equal(response.statusCode, 200)
    t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
    t.equal(response.headers['cache-control'], 'public, max-age=300')
    t.strictSame(response.json(), { issuer: 'https://auth.example.com/latchkey', jwks_uri: `https://auth.example.com/latchkey${JWKS}` })
  })

  t.test(`GET ${url} with whatever Host or forwarding header → 200, the same`, async (t) => {
    const { body } = await app.inject(url)
    const evil = 'evil.example'
    const headers = [
      { host: evil }, { 'x-forwarded-host': evil, 'x-forwarded-proto': 'http', 'x-forwarded-port': '81', 'x-forwarded-prefix': '/evil' },
      { forwarded: `host=${evil};proto=http` }, { 'x-original-url': '/evil', 'x-rewrite-url': '/evil', 'x-host': evil, origin: `https://${evil}` }
    ]
    for (const one of headers) t.equal((await app.inject({ url, headers: one })).body, body, JSON.stringify(one))
  })
}

t.test('the issuer of the metadata is the iss of the tokens, without a public URL too', async (t) => {
  const app = await build(t, { env: { PORT: '4711' } })
  const { access_token: token } = await registerAndLogin(app)
  const { issuer } = (await app.inject(METADATA[0])).json()
  t.equal(issuer, 'http://localhost:4711')
  t.equal(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).iss, issuer)
})

/** Another service's view: it knows the address of the metadata alone, and fetches over a socket. */
async function otherService (app: FastifyInstance, now: () => number) {
  let fetched = 0
  app.server.on('request', ({ url }) => { if (url === JWKS) fetched += 1 })
  const { issuer } = JSON.parse(await (await fetch(app.listeningOrigin + METADATA[0])).text())
  // The public URL is not where the test listens.
  const keys = createRemoteJWKSet(new URL(app.listeningOrigin + JWKS), { cooldownDuration: 0 })
  const verify = (token: string) => jwtVerify(token, keys, { issuer, audience: 'latchkey', typ: 'at+jwt', requiredClaims: ['sub', 'sid', 'jti', 'client_id'], currentDate: new Date(now()) })
  return { verify, fetched: () => fetched }
}

t.test('a token with several audiences verifies at a service that expects any of them, and at no other → 200 here', async (t) => {
  const app = await build(t, { env: { LATCHKEY_AUDIENCE: 'orders, invoices' } })
  const { access_token: token } = await registerAndLogin(app)
  const keys = createLocalJWKSet((await app.inject(JWKS)).json())
  for (const audience of ['orders', 'invoices', ['stock', 'invoices']]) {
    t.strictSame((await jwtVerify(token, keys, { audience })).payload.aud, ['orders', 'invoices'])
  }
  for (const audience of ['stock', 'latchkey', 'orders,invoices', '']) await t.rejects(jwtVerify(token, keys, { audience }), { code: 'ERR_JWT_CLAIM_VALIDATION_FAILED' })
  t.equal((await getPrivate(app, token)).statusCode, 200)
})

for (const algorithm of Object.keys(members)) {
  t.test(`tokens of ${algorithm} verify elsewhere with the published keys alone, before, during and after a rotation`, async (t) => {
    const path = folder(t)
    const env = { LATCHKEY_ALGORITHM: algorithm }
    const clock = fakeClock()
    const app = await build(t, { path, env, now: clock.now })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { user, access_token: before, refresh_token: refreshToken } = await registerAndLogin(app)

    const { keys } = (await app.inject(JWKS)).json()
    t.strictSame(keys.map((key: object) => Object.keys(key).sort()), [members[algorithm]], 'no private member')
    t.equal(await calculateJwkThumbprint(keys[0]), keys[0].kid, 'RFC 7638')

    const kid = await rotate(app, path, { env, now: clock.now })
    const { verify, fetched } = await otherService(app, clock.now)
    t.match(await verify(before), { payload: { sub: user.id }, protectedHeader: { alg: algorithm } })
    t.equal((await verify((await login(app)).access_token)).protectedHeader.kid, keys[0].kid, 'an announced key does not sign')

    clock.advance(ANNOUNCEMENT)
    const { access_token: after } = await login(app)
    t.equal((await verify(after)).protectedHeader.kid, kid)
    t.ok(await verify(before))
    t.equal(fetched(), 1, 'who has seen the announcement need not ask again')

    clock.advance(1)
    const at = await rotate(app, path, { env, now: clock.now, immediately: true })
    t.equal((await verify((await login(app)).access_token)).protectedHeader.kid, at)
    t.equal(fetched(), 2, 'a key that signs at once is looked for')

    await t.rejects(verify(refreshToken), 'a refresh token is none')
    await t.rejects(verify(`${after.slice(0, -8)}AAAAAAAA`))
    await app.db.store.revokeSigningKey(keys[0].kid, clock.now())
    await app.keys.reload()
    t.notOk((await app.inject(JWKS)).json().keys.some((key: { kid: string }) => key.kid === keys[0].kid), 'a revoked key is not shown')
    t.equal((await getPrivate(app, before)).statusCode, 401)
  })
}
