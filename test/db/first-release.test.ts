import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import t from 'tap'
import { Sqlite } from '../../src/db/better-sqlite3.ts'
import { migratePostgres } from '../../src/db/migrate-postgres.ts'
import { migrateSqlite } from '../../src/db/migrate-sqlite.ts'
import { type Migrations, migrationsOf, readMigrations } from '../../src/db/migrations.ts'
import { isProblem, select, sql } from '../fixtures/accounts.ts'
import { build, fakeClock, folder, getPrivate, newAddress, refresh, registerAndLogin, tryLogin } from '../fixtures/app.ts'
import { onPostgres, urlFor } from '../fixtures/postgres.ts'

/** In an order in which what a row refers to is there before it. */
const tables = ['users', 'sessions', 'signing_keys', 'login_attempts', 'audit_events']

const rowsOf = (path: string, table: string) => select(path, `SELECT * FROM ${table} ORDER BY 1`)

/** A database as the first release made it. */
async function firstRelease (path: string): Promise<void> {
  const all = readMigrations(migrationsOf(onPostgres() ? 'pg' : 'sqlite'))
  const first: Migrations = { ...all, after: () => all.after(0).slice(0, 1) }
  if (!onPostgres()) {
    const client = new Sqlite(join(path, 'latchkey.db'))
    migrateSqlite(client, first)
    client.close()
    return
  }
  const client = new Client({ connectionString: urlFor(path) })
  await client.connect()
  await migratePostgres(client, first)
  await client.end()
}

function copy (from: string, to: string, table: string) {
  for (const row of rowsOf(from, table)) {
    const columns = Object.keys(row)
    sql(to, `INSERT INTO ${table} (${columns.join()}) VALUES (${columns.map(() => '?').join()})`, ...Object.values(row))
  }
}

t.test('a database that the first release made, in use → every row is carried on: its sessions, its keys, its counters; and its users can be deleted', async (t) => {
  const [source, path] = [folder(t), folder(t)]
  const clock = fakeClock()
  const before = await build(t, { path: source, now: clock.now })
  const [ada, bob] = [await registerAndLogin(before, 'ada'), await registerAndLogin(before, 'bob')]
  const address = newAddress()
  for (let i = 0; i < 5; i++) await tryLogin(before, 'ada', 'wrong password', address)
  await before.close()

  await firstRelease(path)
  t.equal(select(path, 'SELECT id FROM __drizzle_migrations').length, 1)
  for (const table of tables) copy(source, path, table)
  if (!onPostgres()) cpSync(join(source, 'secret'), join(path, 'secret'))
  const kept = tables.map((table) => [table, rowsOf(path, table)] as const)
  t.ok(kept.every(([, rows]) => rows.length > 0))

  const after = await build(t, { path, now: clock.now })
  t.ok(select(path, 'SELECT id FROM __drizzle_migrations').length > 1)
  for (const [table, rows] of kept) t.strictSame(rowsOf(path, table).slice(0, rows.length), rows, table)
  t.equal((await getPrivate(after, ada.access_token)).statusCode, 200)
  t.equal((await refresh(after, ada.refresh_token)).statusCode, 200)
  isProblem(t, await tryLogin(after, 'ada', undefined, address), 'too_many_attempts')
  t.ok(await after.db.store.deleteUser(bob.user.id), 'with a session that refers to the user')
  t.equal(select(path, 'SELECT id FROM sessions WHERE user_id = ?', bob.user.id).length, 0)
})
