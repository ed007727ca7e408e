import type { ClientBase } from 'pg'
import type { Migrations } from './migrations.ts'

/** Any number that nobody else takes: `latch` in ASCII. */
const LOCK = 0x6c61746368

/**
 * Brings a PostgreSQL database up to date, all of it or nothing; processes that start at once migrate one after the other.
 * @param client one without a limit of time of its own: it waits for the others, and a migration of a large table takes its time.
 * @returns how many migrations were missing.
 */
export async function migratePostgres (client: ClientBase, migrations: Migrations): Promise<number> {
  await client.query('BEGIN')
  await client.query('SET LOCAL statement_timeout = 0')
  await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
  await client.query('CREATE TABLE IF NOT EXISTS __drizzle_migrations (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint)')
  const missing = migrations.after(await newestInPostgres(client))
  for (const migration of missing) {
    for (const statement of migration.sql) await client.query(statement)
    await client.query('INSERT INTO __drizzle_migrations (hash, created_at) VALUES ($1, $2)', [migration.hash, migration.folderMillis])
  }
  await client.query('COMMIT')
  return missing.length
}

/** When the newest migration that was applied was made; 0 when there is none. */
export async function newestInPostgres (client: Pick<ClientBase, 'query'>): Promise<number> {
  const { rows: [table] } = await client.query<{ found: string | null }>("SELECT to_regclass('__drizzle_migrations') AS found")
  if (!table?.found) return 0
  const { rows: [row] } = await client.query<{ newest: string }>('SELECT coalesce(max(created_at), 0) AS newest FROM __drizzle_migrations')
  return Number(row?.newest)
}
