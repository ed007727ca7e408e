import type { BaseSQLiteDatabase } from 'drizzle-orm/sqlite-core'

export type Db = BaseSQLiteDatabase<'async', unknown>

export type Values = Record<string, unknown>

/** A Drizzle query that can be prepared; PostgreSQL wants a name for it. */
export interface Query<Row> {
  prepare (name: string): { execute (values?: Values): Promise<Row[]> }
}

export type Statement<Row> = (values: Values) => Promise<Row[]>

/** Is told what the database does, for the metrics; times in milliseconds. */
export interface Observer {
  statement: (name: string, took: number) => void
  commit: (writes: number) => void
}

/**
 * What differs between the databases: how a statement is prepared and how it is awaited.
 * Both prepare it once; both reject with `Unavailable` when the database cannot answer.
 */
export interface Dialect {
  db: Db
  read<Row> (name: string, query: Query<Row>): Statement<Row>
  /** Resolves when the write is durable. */
  write<Row> (name: string, query: Query<Row>): Statement<Row>
}

/** The same statement, its times told to `observer`. */
export function observed<Row> (name: string, statement: Statement<Row>, observer: Observer | undefined): Statement<Row> {
  if (observer === undefined) return statement
  return async (values) => {
    const start = performance.now()
    try {
      return await statement(values)
    } finally {
      observer.statement(name, performance.now() - start)
    }
  }
}

/** An open database of either kind. */
export interface Connection {
  dialect: Dialect
  /** @throws Unavailable when it does not answer. */
  ping: () => Promise<void>
  /** False when a backup of an earlier release was restored since the start. */
  isMigrated: () => Promise<boolean>
  /** Brings the tables up to date, under a lock. @returns how many migrations were missing. */
  migrate: () => Promise<number>
  /** Milliseconds since the epoch by the clock that every replica shares; undefined when there is one process alone. */
  serverTime: (() => Promise<number>) | undefined
  close: () => Promise<void>
}
