import t from 'tap'
import { isProblem, sql } from '../fixtures/accounts.ts'
import { build, folder } from '../fixtures/app.ts'

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

t.test('GET /readyz while the database cannot answer → 503 unavailable with Retry-After; GET /livez → 200 all the same', async (t) => {
  sql(path, 'ALTER TABLE users RENAME TO elsewhere')
  const response = await app.inject('/readyz')
  isProblem(t, response, 'unavailable')
  t.equal(response.headers['retry-after'], '5')
  t.equal((await app.inject('/livez')).statusCode, 200)

  sql(path, 'ALTER TABLE elsewhere RENAME TO users')
  t.equal((await app.inject('/readyz')).statusCode, 200)
})
