import { getTableConfig as pgConfig, type PgTable } from 'drizzle-orm/pg-core'
import { getTableConfig as sqliteConfig } from 'drizzle-orm/sqlite-core'
import { readFileSync } from 'node:fs'
import t from 'tap'
import * as pgTables from '../../src/db/pg-tables.ts'
import * as sqliteTables from '../../src/db/sqlite-tables.ts'

interface Snapshot {
  tables: Record<string, {
    name: string
    columns: Record<string, { name: string, type: string, primaryKey: boolean, notNull: boolean }>
    indexes: Record<string, { name: string, isUnique: boolean, columns: (string | { expression: string })[] }>
    foreignKeys: Record<string, { tableFrom: string, columnsFrom: string[], tableTo: string, columnsTo: string[] }>
  }>
}

function snapshot (dialect: 'sqlite' | 'pg') {
  const { tables }: Snapshot = JSON.parse(readFileSync(`drizzle/${dialect}/meta/0000_snapshot.json`, 'utf8'))
  return Object.values(tables).sort((a, b) => a.name < b.name ? -1 : 1)
}

const shapes = (dialect: 'sqlite' | 'pg') => snapshot(dialect).map(({ name, columns, indexes, foreignKeys }) => ({
  name,
  columns: Object.values(columns).map(({ name, primaryKey, notNull }) => ({ name, primaryKey, notNull })),
  indexes: Object.values(indexes).map(({ name, columns }) => ({ name, columns: columns.map((one) => typeof one === 'string' ? one : one.expression) })),
  foreignKeys: Object.values(foreignKeys).map(({ tableFrom, columnsFrom, tableTo, columnsTo }) => ({ tableFrom, columnsFrom, tableTo, columnsTo }))
}))

t.test('the migrations of both databases make the same tables, columns, indexes and references', async (t) => {
  t.strictSame(shapes('pg'), shapes('sqlite'))
  t.strictSame(shapes('sqlite').map(({ name }) => name), ['audit_events', 'login_attempts', 'sessions', 'signing_keys', 'users'])
})

t.test('both databases give rows of the same types', async (t) => {
  for (const name of ['users', 'sessions', 'signingKeys', 'loginAttempts', 'auditEvents'] as const) {
    // The tables for PostgreSQL are typed as those for SQLite.
    const pg = pgConfig(pgTables[name] as unknown as PgTable)
    const sqlite = sqliteConfig(sqliteTables[name])
    const columns = (config: typeof pg | typeof sqlite) =>
      config.columns.map(({ name, dataType, notNull, primary, hasDefault }) => ({ name, dataType, notNull, primary, hasDefault }))
    const uniques = (config: typeof pg | typeof sqlite) => config.indexes.map(({ config: { name, unique } }) => ({ name, unique }))
    t.strictSame(columns(pg), columns(sqlite), name)
    const references = (config: typeof pg | typeof sqlite) => config.foreignKeys.map((key) => ({ onDelete: key.onDelete, to: key.reference().foreignColumns.map(({ name }) => name) }))
    t.strictSame(uniques(pg), uniques(sqlite), name)
    t.strictSame(references(pg), references(sqlite), name)
  }
})

t.test('milliseconds do not fit into 32 bits: every time is a bigint on PostgreSQL', async (t) => {
  const times = snapshot('pg').flatMap(({ columns }) => Object.values(columns)).filter(({ name }) => /^at$|_(at|from|since|until)$/.test(name))
  t.equal(times.length, 17)
  t.strictSame(new Set(times.map(({ type }) => type)), new Set(['bigint']))
})
