import type Database from 'better-sqlite3'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { fileURLToPath } from 'node:url'

const folder = (dialect: 'sqlite' | 'pg') => fileURLToPath(new URL(`../../drizzle/${dialect}`, import.meta.url))

/**
 * Brings a SQLite database up to date; two processes that start at once migrate one after the other. Foreign keys are on afterwards.
 * Drizzle's own migrator reads what is missing before it takes the lock, so only its files and its table are used.
 * @returns when the newest migration was made that this release needs.
 */
export function migrateSqlite (client: Database.Database, migrationsFolder = folder('sqlite')): number {
  const migrations = readMigrationFiles({ migrationsFolder })
  // SQLite changes a column by making the table anew; the old one could not be dropped while rows refer to it.
  // A migration's own `PRAGMA foreign_keys` does nothing inside the transaction.
  client.pragma('foreign_keys = OFF')
  client.transaction(() => {
    client.exec('CREATE TABLE IF NOT EXISTS __drizzle_migrations (id INTEGER PRIMARY KEY, hash TEXT NOT NULL, created_at NUMERIC)')
    const newest = newestApplied(client)
    const applied = client.prepare('INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)')
    for (const migration of migrations.filter((one) => one.folderMillis > newest)) {
      for (const statement of migration.sql) client.exec(statement)
      applied.run(migration.hash, migration.folderMillis)
    }
  }).immediate()
  client.pragma('foreign_keys = ON')
  return Math.max(...migrations.map((one) => one.folderMillis))
}

/** When the newest migration that was applied was made; 0 when there is none. */
export function newestApplied (client: Database.Database): number {
  // `pluck` makes the row its only column.
  return client.prepare('SELECT coalesce(max(created_at), 0) FROM __drizzle_migrations').pluck().get() as number
}
