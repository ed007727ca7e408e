import { bigint, boolean, index, integer, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { type Columns, defineTables } from './tables.ts'

const columns = {
  table: pgTable,
  text: (name: string) => text(name),
  integer: (name: string) => integer(name),
  time: (name: string) => bigint(name, { mode: 'number' }),
  flag: (name: string) => boolean(name),
  index,
  uniqueIndex
}

// The one cast of the tables: the store is typed against SQLite, and both sets of columns give the same row types.
export const { users, sessions, signingKeys, loginAttempts, auditEvents } = defineTables(columns as unknown as Columns)
