import type Database from 'better-sqlite3'
import type { Migrations } from './migrations.ts'

/**
 * Brings a SQLite database up to date; two processes that start at once migrate one after the other. Foreign keys are on afterwards.
 * @returns how many migrations were missing.
 */
export function migrateSqlite (client: Database.Database, migrations: Migrations): number {
  // SQLite changes a column by making the table anew; the old one could not be dropped while rows refer to it.
  // A migration's own `PRAGMA foreign_keys` does nothing inside the transaction.
  client.pragma('foreign_keys = OFF')
  const count = client.transaction(() => {
    client.exec('CREATE TABLE IF NOT EXISTS __drizzle_migrations (id INTEGER PRIMARY KEY, hash TEXT NOT NULL, created_at NUMERIC)')
    const missing = migrations.after(newestInSqlite(client))
    const applied = client.prepare('INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)')
    for (const migration of missing) {
      for (const statement of migration.sql) client.exec(statement)
      applied.run(migration.hash, migration.folderMillis)
    }
    return missing.length
  }).immediate()
  client.pragma('foreign_keys = ON')
  return count
}

/** When the newest migration that was applied was made; 0 when there is none. */
export function newestInSqlite (client: Database.Database): number {
  if (client.prepare("SELECT 1 FROM sqlite_master WHERE name = '__drizzle_migrations'").get() === undefined) return 0
  // `pluck` makes the row its only column.
  return client.prepare('SELECT coalesce(max(created_at), 0) FROM __drizzle_migrations').pluck().get() as number
}
