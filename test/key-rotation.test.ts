import t, { type Test } from 'tap'
import { run } from '../src/commands.ts'
import { ANNOUNCEMENT } from '../src/key-life.ts'
import { listKeys, revokeKey, rotateKey } from '../src/key-rotation.ts'
import { createSigningKey } from '../src/keys.ts'
import { build, fakeClock, folder, getPrivate, login, refresh, registerAndLogin, settings } from './fixtures/app.ts'
import { isProblem, sql } from './fixtures/accounts.ts'
import { dataIn } from './fixtures/database.ts'
import { forge, secretsOf, stealKey } from './fixtures/forge.ts'
import { select } from './fixtures/refresh.ts'
import { terminal } from './fixtures/commands.ts'

const foreign = { LATCHKEY_SECRET: 'k3v9Qw7xTz1mB5nR8sY2uC6pL0dF4gHj' }

/** A service with somebody logged in, and what an operator's command has over the same database. */
async function service (t: Test) {
  const path = folder(t)
  const clock = fakeClock()
  const app = await build(t, { path, now: clock.now })
  const operator = { store: app.db.store, secrets: secretsOf(path), settings: settings(path), now: clock.now }
  return { path, clock, app, operator, kid: String(app.keys.signer()?.kid), ...await registerAndLogin(app) }
}

t.test('POST /login at any moment while the only key is revoked → 200: its successor comes first', async (t) => {
  const { app, operator, kid, access_token: token, refresh_token: refreshToken } = await service(t)
  const moments: number[] = []
  const watch = async () => {
    await app.keys.reload()
    const { access_token: fresh } = await login(app)
    moments.push((await getPrivate(app, fresh)).statusCode)
  }
  const store = {
    ...operator.store,
    insertSigningKey: async (key: Parameters<typeof operator.store.insertSigningKey>[0]) => {
      const inserted = await operator.store.insertSigningKey(key)
      await watch()
      return inserted
    },
    revokeSigningKey: async (...args: Parameters<typeof operator.store.revokeSigningKey>) => {
      const revoked = await operator.store.revokeSigningKey(...args)
      await watch()
      return revoked
    }
  }
  t.ok(await revokeKey({ ...operator, store }, kid))
  t.strictSame(moments, [200, 200])
  isProblem(t, await getPrivate(app, token), 'invalid_token')
  t.equal((await refresh(app, refreshToken)).statusCode, 200, 'nobody is logged out')
})

t.test('a key that is unknown, or revoked already, is not revoked, and no key is made', async (t) => {
  const { operator, path, kid } = await service(t)
  t.ok(await revokeKey(operator, kid))
  const before = select(path, 'SELECT * FROM signing_keys')
  for (const one of [kid, 'unknown', '']) t.notOk(await revokeKey(operator, one))
  t.strictSame(select(path, 'SELECT * FROM signing_keys'), before)
})

t.test('latchkey keys rotate, keys revoke with another secret than the service\'s → refused in one line, and nothing is written', async (t) => {
  const { path, clock, kid, app } = await service(t)
  const before = select(path, 'SELECT * FROM signing_keys')
  const operator = terminal([], { env: { ...dataIn(path), ...foreign }, now: clock.now })
  for (const args of [['keys', 'rotate'], ['keys', 'rotate', '--now'], ['keys', 'revoke', kid]]) {
    await t.rejects(run(args, operator), { name: 'ConfigError', message: /^LATCHKEY_SECRET: signing key [\w-]{43} was encrypted under another secret/ }, args.join(' '))
  }
  t.strictSame(select(path, 'SELECT * FROM signing_keys'), before)
  await app.close()
  t.ok(await build(t, { path }), 'the service starts as ever')
})

t.test('GET /private where another process has put a key under a secret that is not configured here → 401 for its tokens; a revocation is seen all the same', async (t) => {
  const { app, path, clock, operator, kid, access_token: token } = await service(t)
  const { primary } = secretsOf(path, foreign)
  const stranger = await createSigningKey('ES256', primary, { now: clock.now(), activeFrom: clock.now() })
  t.ok(await app.db.store.insertSigningKey(stranger))
  await rotateKey({ ...operator, secrets: secretsOf(path, { LATCHKEY_SECRET_FALLBACKS: foreign.LATCHKEY_SECRET }), now: () => clock.now() + 1 }, { immediately: true })

  const { sign, header } = await stealKey(app, path)
  clock.advance(5_000)
  isProblem(t, await getPrivate(app, forge({ ...header, kid: stranger.kid }, '{}', sign)), 'invalid_token')
  t.not(app.keys.signer()?.kid, kid, 'the next key is seen')
  t.equal((await getPrivate(app, token)).statusCode, 200)

  t.ok(await app.db.store.revokeSigningKey(kid, clock.now()))
  await app.keys.reload()
  isProblem(t, await getPrivate(app, token), 'invalid_token')
  const { access_token: fresh } = await login(app)
  t.equal((await getPrivate(app, fresh)).statusCode, 200)
})

t.test('GET /private where a key was altered since the start → 401 for unknown headers, and what became of the others is seen', async (t) => {
  const { app, path, clock, operator, kid, access_token: token } = await service(t)
  const { kid: next } = await rotateKey(operator, { immediately: true }) ?? {}
  const { kid: bad } = await rotateKey({ ...operator, now: () => clock.now() + 1 }, { immediately: true }) ?? {}
  sql(path, "UPDATE signing_keys SET encrypted_key = 'AAAA' WHERE kid = ?", bad)
  clock.advance(5_000)
  isProblem(t, await getPrivate(app, 'AAAA.AAAA.AAAA'), 'invalid_token')
  t.equal(app.keys.signer()?.kid, next)
  t.ok(await app.db.store.revokeSigningKey(kid, clock.now()))
  t.strictSame(await app.keys.reload(), [bad])
  isProblem(t, await getPrivate(app, token), 'invalid_token')
})

t.test('the part that each key plays: coming, signing, retiring, retired, revoked', async (t) => {
  const { clock, operator, kid } = await service(t)
  const states = async () => (await listKeys(operator)).map((key) => [key.kid, key.state])
  const second = String((await rotateKey(operator, { immediately: false }))?.kid)
  t.strictSame(await states(), [[kid, 'signing'], [second, 'coming']])
  clock.advance(ANNOUNCEMENT - 1)
  t.strictSame(await states(), [[kid, 'signing'], [second, 'coming']])
  clock.advance(1)
  t.strictSame(await states(), [[kid, 'retiring'], [second, 'signing']])
  clock.advance(900_000 + 60_000)
  t.strictSame(await states(), [[kid, 'retiring'], [second, 'signing']])
  clock.advance(1)
  t.strictSame(await states(), [[kid, 'retired'], [second, 'signing']])
  t.ok(await revokeKey(operator, kid))
  t.strictSame(await states(), [[kid, 'revoked'], [second, 'signing']])
  t.ok(await rotateKey(operator, { immediately: true }))
  t.equal(await rotateKey(operator, { immediately: true }), undefined, 'a moment is one key\'s alone')
})
