import Database from 'better-sqlite3'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { closeSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Db, type Dialect, type Observer, observed, type Query, type Statement, type Values } from './dialect.ts'
import { createGroupCommit } from './group-commit.ts'
import { createGroupRead } from './group-read.ts'
import { makeFolder } from './folder.ts'
import { migrateSqlite, newestApplied } from './migrate.ts'
import { Unavailable } from '../unavailable.ts'

/** Longer would block the event loop; the group commit tries again instead. */
const BUSY_TIMEOUT_MS = 50
const MIGRATION_TIMEOUT_MS = 30_000

/**
 * Opens (and makes, mode 0600) a SQLite file, brings it up to date, and returns the dialect over it.
 * @throws when the folder cannot be written, or the file is no database.
 */
export function openSqlite (path: string, observer?: Observer) {
  const { client, needed } = openFile(path)
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
    /** False when a backup of an earlier release was restored since the start. */
    isMigrated: async () => newestApplied(client) >= needed,
    close: async () => {
      commits.close()
      client.close()
    }
  }
}

function openFile (path: string): { client: Database.Database, needed: number } {
  makeFolder(dirname(path))
  // SQLite gives its -wal and -shm files the mode of the database.
  closeSync(openSync(path, 'a', 0o600))
  const client = new Database(path, { timeout: MIGRATION_TIMEOUT_MS })
  client.pragma('journal_mode = WAL')
  // FULL: what was answered survives a power cut.
  client.pragma('synchronous = FULL')
  const needed = migrateSqlite(client)
  client.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`)
  return { client, needed }
}

/** Reads a row: an expression alone would be answered without the file. */
function ping (client: Database.Database) {
  try {
    client.prepare('SELECT id FROM users LIMIT 1').get()
  } catch (error) {
    throw new Unavailable(error)
  }
}

/** Prepared once. Inside a batch it must run now, not when awaited: Drizzle's result on SQLite has `sync()`. */
function prepared<Row> (name: string, query: Query<Row>, batch: <Rows>(run: () => Rows) => Promise<Rows>): Statement<Row> {
  const statement = query.prepare(name)
  return (values: Values) => batch(() => {
    const result = statement.execute(values) as unknown as { sync (): Row[] }
    return result.sync()
  })
}
