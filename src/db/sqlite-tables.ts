import { index, integer, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import { defineTables } from './tables.ts'

export const columns = {
  table: sqliteTable,
  text: (name: string) => text(name),
  integer: (name: string) => integer(name),
  time: (name: string) => integer(name),
  flag: (name: string) => integer(name, { mode: 'boolean' }),
  index,
  uniqueIndex
}

export const { users, sessions, signingKeys, loginAttempts, auditEvents } = defineTables(columns)
