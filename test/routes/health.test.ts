import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { eventually, isProblem, sql } from '../fixtures/accounts.ts'
import { build, folder } from '../fixtures/app.ts'
import { captureLog } from '../fixtures/refresh.ts'
import { captureIntervals } from '../fixtures/timers.ts'

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

/** Whoever asks learns that it is not ready, and no more; the log says why. */
async function isNotReady (t: Test, app: FastifyInstance, missing: string) {
  const lines = captureLog(t, app)
  const response = await app.inject('/readyz')
  isProblem(t, response, 'unavailable')
  t.equal(response.headers['retry-after'], '5')
  t.match(lines, [{ msg: 'not ready', missing }])
  t.equal(lines.length, 1)
  t.equal((await app.inject('/livez')).statusCode, 200)
}

t.test('GET /readyz while the database cannot answer → 503 unavailable with Retry-After; GET /livez → 200 all the same', async (t) => {
  sql(path, 'ALTER TABLE users RENAME TO elsewhere')
  await isNotReady(t, app, 'database')

  sql(path, 'ALTER TABLE elsewhere RENAME TO users')
  t.equal((await app.inject('/readyz')).statusCode, 200)
})

t.test('GET /readyz over the tables of an earlier release → 503 unavailable', async (t) => {
  sql(path, 'UPDATE __drizzle_migrations SET created_at = created_at - 1000000000000')
  await isNotReady(t, app, 'migrations')
  sql(path, 'UPDATE __drizzle_migrations SET created_at = created_at + 1000000000000')
  t.equal((await app.inject('/readyz')).statusCode, 200)
})

t.test('GET /readyz when no key signs → 503 unavailable', async (t) => {
  const runInterval = captureIntervals(t)
  const path = folder(t)
  const app = await build(t, { path })
  const reload = async (done: () => boolean) => {
    runInterval(30_000)
    await eventually(async () => done())
  }
  sql(path, 'UPDATE signing_keys SET revoked_at = 1')
  await reload(() => app.keys.signer() === undefined)
  await isNotReady(t, app, 'keys')
  sql(path, 'UPDATE signing_keys SET revoked_at = NULL')
  await reload(() => app.keys.signer() !== undefined)
  t.equal((await app.inject('/readyz')).statusCode, 200)
})

t.test('GET /readyz when the service is about to stop → 503 unavailable', async (t) => {
  app.beginClosing()
  await isNotReady(t, app, 'time')
})
