import { createPublicKey } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { calculateJwkThumbprint } from 'jose'
import t, { type Test } from 'tap'
import { run } from '../src/commands.ts'
import { ANNOUNCEMENT, publishedAt, signerAt } from '../src/key-life.ts'
import { rotateKey } from '../src/key-rotation.ts'
import { createSigningKey, privatePem, publicPem, rewrap, unwrap } from '../src/keys.ts'
import { build, fakeClock, folder, getPrivate, login, refresh, register, registerAndLogin, settings } from './fixtures/app.ts'
import { isProblem, sql } from './fixtures/accounts.ts'
import { dataIn } from './fixtures/database.ts'
import { decode, secretsOf, stealKey } from './fixtures/forge.ts'
import { ask, freePort, startProcess } from './fixtures/process.ts'
import { select } from './fixtures/refresh.ts'
import { terminal } from './fixtures/commands.ts'

type App = Awaited<ReturnType<typeof build>>

const algorithms = ['ES256', 'EdDSA', 'RS256'] as const
const kidOf = (token: string) => decode(token).header['kid']

/** What another process over the same database has: its own store, secrets and settings. */
function elsewhere (app: App, path: string, { env = {}, now = Date.now }: { env?: NodeJS.ProcessEnv, now?: () => number } = {}) {
  return { store: app.db.store, secrets: secretsOf(path, env), settings: settings(path, env), now }
}

async function service (t: Test, env: NodeJS.ProcessEnv = {}) {
  const path = folder(t)
  const clock = fakeClock()
  const app = await build(t, { path, env, now: clock.now })
  return { path, clock, app, other: elsewhere(app, path, { now: clock.now }) }
}

for (const alg of algorithms) {
  t.test(`a new ${alg} key: its kid is its RFC 7638 thumbprint, its halves belong together, and only who has the secret reads it`, async (t) => {
    const { primary } = secretsOf(folder(t))
    const { primary: stranger } = secretsOf(folder(t))
    const key = await createSigningKey(alg, primary, { now: 1, activeFrom: 2 })
    t.match(key, { alg, keyId: primary.id, activeFrom: 2, createdAt: 1, revokedAt: null })
    t.equal(key.kid, await calculateJwkThumbprint(JSON.parse(key.publicJwk)))
    t.equal(createPublicKey(privatePem(unwrap(key, primary))).export({ type: 'spki', format: 'pem' }), publicPem(key))
    t.match(createPublicKey(publicPem(key)).asymmetricKeyDetails, { ES256: { namedCurve: 'prime256v1' }, EdDSA: {}, RS256: { modulusLength: 3072, publicExponent: 65_537n } }[alg])

    t.throws(() => unwrap(key, stranger))
    const { kid } = await createSigningKey('ES256', primary, { now: 1, activeFrom: 2 })
    t.throws(() => unwrap({ ...key, kid }, primary), 'it is bound to the kid')
    const bytes = Buffer.from(key.encryptedKey, 'base64url')
    for (const at of [0, 11, 12, Math.floor(bytes.length / 2), bytes.length - 17, bytes.length - 16, bytes.length - 1]) {
      const altered = Buffer.from(bytes)
      altered[at] = bytes.readUInt8(at) ^ 1
      t.throws(() => unwrap({ ...key, encryptedKey: altered.toString('base64url') }, primary), `byte ${at} altered`)
    }
    for (const length of [0, 1, 12, 15, 28, bytes.length - 12, bytes.length - 1]) {
      t.throws(() => unwrap({ ...key, encryptedKey: bytes.subarray(0, length).toString('base64url') }, primary), `${length} bytes left`)
    }

    const [once, again] = [rewrap(key, primary, stranger), rewrap(key, primary, stranger)]
    t.not(once.encryptedKey, again.encryptedKey, 'no two encryptions are alike')
    t.strictSame(unwrap({ ...key, ...once }, stranger), unwrap(key, primary))
  })
}

t.test('which key signs and which are published, at the edges of their lives', async (t) => {
  const key = (activeFrom: number, revokedAt: number | null = null) => ({ activeFrom, revokedAt })
  const [first, second, third] = [key(0), key(1_000), key(5_000)]
  const keys = [first, second, third]
  const lives = { accessTtl: 400, leeway: 100 }
  t.equal(signerAt([], 0), undefined)
  t.equal(signerAt([key(10)], 9), undefined)
  t.equal(signerAt(keys, 999), first)
  t.equal(signerAt(keys, 1_000), second)
  t.equal(signerAt([first, key(1_000, 2_000)], 3_000), first)
  t.strictSame(publishedAt(keys, 0, lives), keys, 'those to come too')
  t.strictSame(publishedAt(keys, 1_000 + 500 + 60_000, lives), keys, 'while a token of the first may live')
  t.strictSame(publishedAt(keys, 1_000 + 500 + 60_001, lives), [second, third])
  t.strictSame(publishedAt(keys, 10 ** 9, lives), [third])
  t.strictSame(publishedAt([key(0, 1), second, key(2_000, 3_000), third], 5_000, lives), [second, third], 'none that is revoked')
})

t.test('no file of the data holds a private key', async (t) => {
  for (const algorithm of ['ES256', 'EdDSA']) {
    const { app, path } = await service(t, { LATCHKEY_ALGORITHM: algorithm })
    await registerAndLogin(app)
    const { privateKey } = await stealKey(app, path)
    const scalar = String(privateKey.export({ format: 'jwk' }).d)
    const forms = [Buffer.from(scalar, 'base64url'), privateKey.export({ type: 'pkcs8', format: 'der' })].flatMap((bytes) => [bytes, Buffer.from(bytes.toString('hex')), Buffer.from(bytes.toString('base64')), Buffer.from(bytes.toString('base64url'))])
    const files = readdirSync(path).map((name) => readFileSync(join(path, name)))
    t.ok(files.some((bytes) => bytes.includes(String(app.keys.signer()?.kid))), 'the key is in these files')
    for (const form of forms) t.notOk(files.some((bytes) => bytes.includes(form)))
  }
})

t.test('a start on a key that was altered, or put in another\'s place → no start', async (t) => {
  const { app, path, other } = await service(t)
  const { kid } = await rotateKey(other, { immediately: false }) ?? {}
  await app.close()
  const keys = select(path, 'SELECT kid, encrypted_key FROM signing_keys ORDER BY active_from')
  const [first, second] = keys.map((row) => String(row['encrypted_key']))
  const wasAltered = `DATABASE_URL: signing key ${kid} was altered; restore a backup, or revoke it with latchkey keys revoke`
  const put = (encryptedKey = '') => sql(path, 'UPDATE signing_keys SET encrypted_key = ? WHERE kid = ?', encryptedKey, kid)
  const altered = (second?.startsWith('A') ? 'B' : 'A') + second?.slice(1)
  for (const bad of [first, '', altered, second?.slice(0, -4)]) {
    put(bad)
    await t.rejects(build(t, { path }), { name: 'ConfigError', message: wasAltered }, String(bad).slice(0, 8))
  }
  put(second)

  const columns = { alg: ['HS256', 'none', 'ES384', ''], public_jwk: select(path, 'SELECT public_jwk FROM signing_keys WHERE kid <> ?', kid).map((row) => row['public_jwk']) }
  for (const [column, values] of Object.entries(columns)) {
    const [good] = select(path, `SELECT ${column} AS value FROM signing_keys WHERE kid = ?`, kid)
    const write = (value: unknown) => sql(path, `UPDATE signing_keys SET ${column} = ? WHERE kid = ?`, value, kid)
    for (const bad of values) {
      write(bad)
      await t.rejects(build(t, { path }), { name: 'ConfigError', message: wasAltered }, `${column} ${bad}`)
    }
    write(good?.['value'])
  }
  t.ok(await build(t, { path }))
})

t.test('two applications that start at once on one new file have one key, and let each other\'s tokens in → 200', async (t) => {
  const path = folder(t)
  const [one, other] = await Promise.all([build(t, { path }), build(t, { path })])
  t.equal(one.keys.signer()?.kid, other.keys.signer()?.kid)
  t.equal(select(path, 'SELECT * FROM signing_keys').length, 1)
  const { access_token: token } = await registerAndLogin(one)
  t.equal((await getPrivate(other, token)).statusCode, 200)
})

t.test('three processes that start at once on one new folder have one secret and one key → 200', async (t) => {
  const env = { NODE_OPTIONS: '', DATABASE_URL: `file:${join(folder(t), 'data', 'latchkey.db')}`, LATCHKEY_PUBLIC_URL: 'https://auth.example.com' }
  const processes = await Promise.all([1, 2, 3].map(async () => startProcess(await freePort(), env)))
  t.teardown(() => Promise.all(processes.map(({ end }) => end('SIGKILL'))))
  const sets = await Promise.all(processes.map(async ({ url }) => (await ask(`${url}/.well-known/jwks.json`)).text()))
  t.equal(new Set(sets).size, 1)
  t.equal(JSON.parse(sets[0] ?? '').keys.length, 1)

  const send = async (url = '', body: object) => JSON.parse(await (await ask(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })).text())
  const [one, other, third] = processes.map(({ url }) => url)
  const credentials = { username: 'ada', password: 'correct horse battery staple' }
  await send(`${one}/register`, credentials)
  const tokens = await send(`${one}/login`, credentials)
  t.ok((await send(`${other}/refresh`, { refresh_token: tokens.refresh_token })).access_token)
  t.equal((await ask(`${third}/private`, { headers: { authorization: `Bearer ${tokens.access_token}` } })).status, 200)
})

t.test('two new installations sign differently, and the one\'s tokens open nothing at the other → 401', async (t) => {
  const [one, other] = [await service(t), await service(t)]
  const { access_token: token, refresh_token: refreshToken } = await registerAndLogin(one.app)
  await registerAndLogin(other.app)
  t.not(one.app.keys.signer()?.kid, other.app.keys.signer()?.kid)
  t.not(one.other.secrets.primary.id, other.other.secrets.primary.id)
  isProblem(t, await getPrivate(other.app, token), 'invalid_token')
  isProblem(t, await refresh(other.app, refreshToken), 'invalid_refresh_token')
})

t.test('a start with another LATCHKEY_ALGORITHM announces a key; the tokens of both open meanwhile → 200', async (t) => {
  const { app, path, clock } = await service(t)
  const { access_token: before } = await registerAndLogin(app)
  await app.close()
  const env = { LATCHKEY_ALGORITHM: 'EdDSA' }
  const changed = await build(t, { path, env, now: clock.now })
  t.match(changed.keys.published(), [{ alg: 'ES256' }, { alg: 'EdDSA', activeFrom: clock.now() + ANNOUNCEMENT }])
  const meanwhile = await login(changed)
  t.equal(decode(meanwhile.access_token).header['alg'], 'ES256')
  clock.advance(ANNOUNCEMENT)
  const after = await login(changed)
  t.equal(decode(after.access_token).header['alg'], 'EdDSA')
  for (const token of [before, meanwhile.access_token, after.access_token]) t.equal((await getPrivate(changed, token)).statusCode, 200)
  t.equal((await refresh(changed, meanwhile.refresh_token)).statusCode, 200)

  await (await build(t, { path, env, now: clock.now })).close()
  t.equal(select(path, 'SELECT * FROM signing_keys').length, 2, 'a start with the same one announces none')
})

t.test('POST /login after keys were rotated before the first start → 200, with a key that signs now', async (t) => {
  const path = folder(t)
  for (const command of ['migrate', 'keys rotate']) await run(command.split(' '), terminal([], { env: dataIn(path) }))
  const app = await build(t, { path })
  const { access_token: token } = await registerAndLogin(app)
  t.equal((await getPrivate(app, token)).statusCode, 200)
  t.equal(app.keys.published().length, 2)
})

t.test('POST /login where the clock was set back before the only key → 200, signed by that one', async (t) => {
  const { app, clock, other } = await service(t)
  await register(app)
  clock.advance(60_000)
  const { kid } = await rotateKey(other, { immediately: true }) ?? {}
  await app.db.store.revokeSigningKey(String(app.keys.signer()?.kid), clock.now())
  await app.keys.reload()
  clock.advance(-60_000)
  const { access_token: token } = await login(app)
  t.equal(kidOf(token), kid)
  t.equal((await getPrivate(app, token)).statusCode, 200)
  t.equal((await app.inject('/readyz')).statusCode, 200)
})

t.test('POST /login after a start on revoked keys alone → 200, with a new key', async (t) => {
  const { app, path } = await service(t)
  await register(app)
  const old = String(app.keys.signer()?.kid)
  await app.db.store.revokeSigningKey(old, Date.now())
  await app.close()
  const again = await build(t, { path })
  t.not(kidOf((await login(again)).access_token), old)
  t.strictSame(again.keys.published().map(({ kid }) => kid), [again.keys.signer()?.kid])
})

t.test('GET /private under a header that is unknown: the keys are read again, at most once in 5 s → 200, 401', async (t) => {
  const { app, path, clock } = await service(t)
  await register(app)
  const sibling = await build(t, { path, now: clock.now })
  const rotateElsewhere = async () => {
    await rotateKey(elsewhere(app, path, { now: clock.now }), { immediately: true })
    await sibling.keys.reload()
    return (await login(sibling)).access_token
  }
  const reads = t.capture(app.db.store, 'listSigningKeys', app.db.store.listSigningKeys)
  clock.advance(5_000)
  const token = await rotateElsewhere()
  reads()
  t.equal((await getPrivate(app, token)).statusCode, 200, 'a key that another process has put')
  t.equal((await login(app)).access_token.split('.')[0], token.split('.')[0], 'it signs here too')
  t.equal(reads().length, 1)

  clock.advance(4_999)
  const late = await rotateElsewhere()
  reads()
  for (const one of [late, 'AAAA.AAAA.AAAA', late]) isProblem(t, await getPrivate(app, one), 'invalid_token')
  t.equal(reads().length, 0)
  clock.advance(1)
  t.equal((await getPrivate(app, late)).statusCode, 200)
  for (let i = 0; i < 20; i++) isProblem(t, await getPrivate(app, `${'A'.repeat(4 * i + 4)}.AAAA.AAAA`), 'invalid_token')
  t.equal(reads().length, 1)
})

t.test('GET /private many times at once with tokens of a new key → 200 each, for one reading of the keys', async (t) => {
  const { app, path, clock } = await service(t)
  await register(app)
  const sibling = await build(t, { path, now: clock.now })
  clock.advance(5_000)
  await rotateKey(elsewhere(app, path, { now: clock.now }), { immediately: true })
  await sibling.keys.reload()
  const tokens = await Promise.all(Array.from({ length: 5 }, () => login(sibling)))

  const { listSigningKeys } = app.db.store
  const reads = t.capture(app.db.store, 'listSigningKeys', async () => {
    await delay(50)
    return await listSigningKeys()
  })
  const answers = tokens.map(({ access_token: token }) => getPrivate(app, token))
  t.strictSame((await Promise.all(answers)).map(({ statusCode }) => statusCode), tokens.map(() => 200))
  t.equal(reads().length, 1)
})
