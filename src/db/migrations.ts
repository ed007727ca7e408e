import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator'
import { fileURLToPath } from 'node:url'

/** What drizzle-kit has made for a dialect. */
export const migrationsOf = (dialect: 'sqlite' | 'pg') => fileURLToPath(new URL(`../../drizzle/${dialect}`, import.meta.url))

export interface Migrations {
  /** When the newest one was made: the database has to be as new. */
  newest: number
  /** Those made after a moment, in order. */
  after: (moment: number) => MigrationMeta[]
}

/**
 * Drizzle's own migrators read what is missing before they take a lock; so only its files, and its table `__drizzle_migrations`, are used.
 * A migration is known by the moment at which it was made.
 */
export function readMigrations (migrationsFolder: string): Migrations {
  const migrations = readMigrationFiles({ migrationsFolder })
  return {
    newest: Math.max(...migrations.map((one) => one.folderMillis)),
    after: (moment) => migrations.filter((one) => one.folderMillis > moment)
  }
}
