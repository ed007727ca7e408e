import { getTableColumns, type SQL, sql, type Table } from 'drizzle-orm'

export const p = sql.placeholder

/** A named parameter where Drizzle wants an expression. */
export const set = (name: string): SQL => sql`${p(name)}`

/** One named parameter for each column, for VALUES; `suffix` tells the rows of one statement apart. */
export function placeholders<T extends Table> (table: T, suffix = '') {
  return mapColumns(table, (name) => p(`${name}${suffix}`))
}

/** One named parameter for each column, for INSERT … SELECT, which writes `select $1 as id, …`. */
export function parameters<T extends Table> (table: T) {
  return mapColumns(table, (name, column) => set(name).as(column))
}

function mapColumns<T extends Table, R> (table: T, make: (name: string, column: string) => R) {
  const entries = Object.entries(getTableColumns(table)).map(([name, column]) => [name, make(name, column.name)])
  // Object.fromEntries forgets the keys; they are the table's own.
  return Object.fromEntries(entries) as { [K in keyof T['_']['columns']]: R }
}

/** The only row of a statement that touches at most one. */
export const one = <Row>(rows: Row[]): Row | undefined => rows[0]

export const some = (rows: unknown[]): boolean => rows.length > 0
