import t, { type Test } from 'tap'
import { isProblem, select, sql } from '../fixtures/accounts.ts'
import { build, folder } from '../fixtures/app.ts'
import { captureLog } from '../fixtures/refresh.ts'

const path = folder(t)
const app = await build(t, { path })

for (const url of ['/livez', '/readyz']) {
  t.test(`GET ${url} → 200, and nothing that tells of the inside`, async (t) => {
    for (const method of ['GET', 'HEAD'] as const) {
      const response = await app.inject({ method, url })
      t.equal(response.statusCode, 200)
      t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
      t.equal(response.headers['cache-control'], 'no-store')
      t.equal(response.body, method === 'GET' ? '{"status":"ok"}' : '')
    }
  })
}

/** GET /readyz, which has to answer 503 and tell no more; resolves with what the log tells. */
async function notReady (t: Test): Promise<Record<string, unknown> | undefined> {
  const lines = captureLog(t, app)
  const response = await app.inject('/readyz')
  isProblem(t, response, 'unavailable')
  t.equal(response.headers['retry-after'], '5')
  t.equal((await app.inject('/livez')).statusCode, 200, 'GET /livez → 200 all the same')
  t.equal(lines.length, 1)
  return lines[0]
}

const isReady = async (t: Test) => t.equal((await app.inject('/readyz')).statusCode, 200)

t.test('GET /readyz while the database cannot answer → 503 unavailable with Retry-After, and the log has the error', async (t) => {
  sql(path, 'ALTER TABLE users RENAME TO elsewhere')
  t.match(await notReady(t), { level: 40, msg: 'not ready', missing: 'database', err: { type: 'Unavailable', stack: /no such table/ } })
  sql(path, 'ALTER TABLE elsewhere RENAME TO users')
  await isReady(t)
})

t.test('GET /readyz on the tables of an earlier release → 503; with no key that signs → 503; about to stop → 503', async (t) => {
  const [newest] = select(path, 'SELECT * FROM __drizzle_migrations ORDER BY created_at DESC LIMIT 1')
  sql(path, 'DELETE FROM __drizzle_migrations WHERE hash = ?', newest?.['hash'])
  t.match(await notReady(t), { msg: 'not ready', missing: 'migrations', reason: String })
  sql(path, 'INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)', newest?.['hash'], newest?.['created_at'])
  await isReady(t)

  sql(path, 'UPDATE signing_keys SET revoked_at = 1')
  await app.keys.reload()
  t.match(await notReady(t), { msg: 'not ready', missing: 'keys', reason: String })
  sql(path, 'UPDATE signing_keys SET revoked_at = NULL')
  await app.keys.reload()
  await isReady(t)

  app.beginClosing()
  t.match(await notReady(t), { msg: 'not ready', missing: undefined, reason: 'the service is about to stop' })
})
