import type Database from 'better-sqlite3'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { closeSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { Sqlite } from './better-sqlite3.ts'
import { type Connection, type Db, type Dialect, type Observer, observed, type Query, type Statement, type Values } from './dialect.ts'
import { createGroupCommit, isBusy, PAUSE_WHEN_LOCKED_MS } from './group-commit.ts'
import { createGroupRead } from './group-read.ts'
import { makeFolder } from './folder.ts'
import { migrateSqlite, newestInSqlite } from './migrate-sqlite.ts'
import { migrationsOf, readMigrations } from './migrations.ts'
import { Unavailable } from '../unavailable.ts'

/** Longer would block the event loop; the group commit tries again instead. */
const BUSY_TIMEOUT_MS = 50
const MIGRATION_TIMEOUT_MS = 30_000

/**
 * Opens (and makes, mode 0600) a SQLite file, and returns the dialect over it.
 * @throws when the folder cannot be written, or the file is no database.
 */
export function openSqlite (path: string, observer?: Observer): Connection {
  const client = openFile(path)
  const migrations = readMigrations(migrationsOf('sqlite'))
  // The store is typed against Drizzle's asynchronous face, so that it serves both databases;
  // better-sqlite3's queries can be awaited all the same.
  const db = drizzle(client) as unknown as Db
  const commits = createGroupCommit(client, observer?.commit)
  const read = createGroupRead(client)

  const dialect: Dialect = {
    db,
    read: (name, query) => observed(name, prepared(name, query, read), observer),
    write: (name, query) => observed(name, prepared(name, query, commits.write), observer)
  }
  return {
    dialect,
    ping: async () => ping(client),
    isMigrated: async () => newestInSqlite(client) >= migrations.newest,
    migrate: async () => {
      const missing = migrateSqlite(client, migrations)
      client.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`)
      return missing
    },
    serverTime: undefined,
    close: async () => {
      commits.close()
      client.close()
    }
  }
}

function openFile (path: string): Database.Database {
  makeFolder(dirname(path))
  // SQLite gives its -wal and -shm files the mode of the database.
  closeSync(openSync(path, 'a', 0o600))
  const client = new Sqlite(path, { timeout: MIGRATION_TIMEOUT_MS })
  switchToWal(client)
  // FULL: what was answered survives a power cut.
  client.pragma('synchronous = FULL')
  client.pragma('foreign_keys = ON')
  return client
}

/** Of two processes that begin at once one is refused at once, whatever its timeout, for each waits for the other's lock. */
function switchToWal (client: Database.Database) {
  const deadline = performance.now() + MIGRATION_TIMEOUT_MS
  for (;;) {
    try {
      client.pragma('journal_mode = WAL')
      return
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_WHEN_LOCKED_MS)
    }
  }
}

/** Reads a row: an expression alone would be answered without the file. */
function ping (client: Database.Database) {
  try {
    client.prepare('SELECT id FROM users LIMIT 1').get()
  } catch (error) {
    throw new Unavailable(error)
  }
}

/** Prepared once. */
function prepared<Row> (name: string, query: Query<Row>, batch: <Rows>(run: () => Rows) => Promise<Rows>): Statement<Row> {
  const statement = query.prepare(name)
  return (values: Values) => batch(() => {
    // Inside a batch it must run now, not when awaited: on SQLite Drizzle's result has `sync()`, which its asynchronous face does not show.
    const result = statement.execute(values) as unknown as { sync (): Row[] }
    return result.sync()
  })
}
