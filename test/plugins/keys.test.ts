import t from 'tap'
import { rotateKey } from '../../src/key-rotation.ts'
import { build, folder, getPrivate, login, refresh, registerAndLogin, settings } from '../fixtures/app.ts'
import { eventually, sql } from '../fixtures/accounts.ts'
import { secretsOf } from '../fixtures/forge.ts'
import { captureLog } from '../fixtures/refresh.ts'
import { captureIntervals } from '../fixtures/timers.ts'

const RELOAD_EVERY = 30_000

t.test('keys that another process rotates and revokes are read every 30 s; when that fails it is logged, and the next time works', async (t) => {
  const runInterval = captureIntervals(t)
  const path = folder(t)
  const app = await build(t, { path, env: { LOG_LEVEL: 'error' } })
  const lines = captureLog(t, app)
  const { access_token: token, refresh_token: refreshToken } = await registerAndLogin(app)
  const old = String(app.keys.signer()?.kid)
  const fresh = await rotateKey({ store: app.db.store, secrets: secretsOf(path), settings: settings(path), now: Date.now }, { immediately: true })
  t.ok(await app.db.store.revokeSigningKey(old, Date.now()))

  sql(path, 'ALTER TABLE signing_keys RENAME TO signing_keys_away')
  runInterval(RELOAD_EVERY)
  await eventually(async () => lines.length > 0)
  t.match(lines, [{ msg: 'the signing keys could not be read' }])
  t.equal((await getPrivate(app, token)).statusCode, 200, 'what was known is known still')
  sql(path, 'ALTER TABLE signing_keys_away RENAME TO signing_keys')

  runInterval(RELOAD_EVERY)
  await eventually(async () => app.keys.signer()?.kid === fresh?.kid)
  t.equal((await getPrivate(app, token)).statusCode, 401)
  const { access_token: after } = (await refresh(app, refreshToken)).json()
  t.equal((await getPrivate(app, after)).statusCode, 200)
  t.ok(await login(app))
  t.equal(lines.length, 1)
})

t.test('a key that was altered since the start → a warning that names it, every 30 s', async (t) => {
  const runInterval = captureIntervals(t)
  const path = folder(t)
  const app = await build(t, { path, env: { LOG_LEVEL: 'warn' } })
  const { kid } = await rotateKey({ store: app.db.store, secrets: secretsOf(path), settings: settings(path), now: Date.now }, { immediately: true }) ?? {}
  sql(path, "UPDATE signing_keys SET encrypted_key = 'AAAA' WHERE kid = ?", kid)
  const lines = captureLog(t, app)
  for (const count of [1, 2]) {
    runInterval(RELOAD_EVERY)
    await eventually(async () => lines.length === count)
  }
  t.match(lines, Array(2).fill({ level: 40, kids: [kid], msg: /^signing keys of the database cannot be read here/ }))
})
