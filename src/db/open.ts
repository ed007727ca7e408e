import { Unavailable } from '../unavailable.ts'
import { CannotOpen } from './cannot-open.ts'
import type { Connection, Observer } from './dialect.ts'
import { createStore } from './store.ts'

export type * from './store.ts'

/** A SQLite file, or the URL of a PostgreSQL database. */
export type Address = { path: string } | { url: string }

export interface DatabaseSettings {
  database: Address
  databasePool: number
  databaseTimeout: number
}

export type Database = Awaited<ReturnType<typeof openDatabase>>

/**
 * Opens the database, migrated and ready.
 * @throws CannotOpen, or an error of SQLite's.
 */
export async function openDatabase (settings: DatabaseSettings, observer?: Observer) {
  const { connection, tables } = await connect(settings, observer)
  const { dialect, migrate, ...database } = connection
  await migrate().catch(async (error: unknown) => {
    await database.close()
    throw error
  })
  return { store: createStore(dialect, tables), ...database }
}

/**
 * Brings the database up to date, or only looks.
 * @returns how many migrations were made, or whether any is missing.
 */
export async function migrateDatabase (settings: DatabaseSettings, { check }: { check: boolean }): Promise<{ made: number, upToDate: boolean }> {
  const { connection: { isMigrated, migrate, close } } = await connect(settings)
  try {
    return check ? { made: 0, upToDate: await isMigrated().catch(cannotOpen) } : { made: await migrate(), upToDate: true }
  } finally {
    await close()
  }
}

function cannotOpen (error: unknown): never {
  throw error instanceof Unavailable ? new CannotOpen(error.cause) : error
}

/** Only the driver that is needed is loaded: each takes its time. */
async function connect ({ database, databasePool, databaseTimeout }: DatabaseSettings, observer?: Observer) {
  if ('path' in database) {
    const [{ openSqlite }, tables] = await Promise.all([import('./sqlite.ts'), import('./sqlite-tables.ts')])
    return { connection: openSqlite(database.path, observer), tables }
  }
  const [{ openPostgres }, tables] = await Promise.all([import('./postgres.ts'), import('./pg-tables.ts')])
  const connection: Connection = openPostgres({ url: database.url, pool: databasePool, timeout: databaseTimeout }, observer)
  return { connection, tables }
}
