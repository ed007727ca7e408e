import type { Observer } from './dialect.ts'
import * as sqliteTables from './sqlite-tables.ts'
import { openSqlite } from './sqlite.ts'
import { createStore } from './store.ts'

export type * from './store.ts'

/** Opens the database that `path` names, migrated and ready. */
export function openDatabase (path: string, observer?: Observer) {
  const { dialect, ...database } = openSqlite(path, observer)
  return { store: createStore(dialect, sqliteTables), ...database }
}

export type Database = ReturnType<typeof openDatabase>
