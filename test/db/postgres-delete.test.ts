import { Client } from 'pg'
import t from 'tap'
import { eventually, isProblem } from '../fixtures/accounts.ts'
import { build, folder, register, tryLogin } from '../fixtures/app.ts'
import { select } from '../fixtures/database.ts'
import { urlFor } from '../fixtures/postgres.ts'

t.test('POST /login while the account is being deleted → 503, then 401; no session is left', async (t) => {
  const path = folder(t)
  const app = await build(t, { path })
  await register(app)
  const client = new Client({ connectionString: urlFor(path) })
  t.teardown(() => client.end())
  await client.connect()
  await client.query('BEGIN; DELETE FROM users')
  const login = tryLogin(app, 'ada')
  const waiting = async () => select(path, "SELECT pid FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%insert into \"sessions\"%')")
  await eventually(async () => (await waiting()).length > 0)
  await client.query('COMMIT')
  isProblem(t, await login, 'unavailable')
  isProblem(t, await tryLogin(app, 'ada'), 'invalid_credentials')
  t.strictSame(select(path, 'SELECT id FROM sessions'), [])
})
