import type { DrizzleQueryError } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { Client, DatabaseError, Pool } from 'pg'
import { Unavailable } from '../unavailable.ts'
import { CannotOpen } from './cannot-open.ts'
import { type Connection, type Db, type Observer, observed, type Query, type Statement } from './dialect.ts'
import { migratePostgres, newestInPostgres } from './migrate-postgres.ts'
import { migrationsOf, readMigrations } from './migrations.ts'

interface PostgresSettings {
  url: string
  /** Most connections at a time. */
  pool: number
  /** How long a statement may take, and how long one waits for a connection (ms). */
  timeout: number
}

const APPLICATION = 'latchkey'
/** The server ends a statement; when not even that is heard of, the connection is given up so much later (ms). */
const UNHEARD = 1_000

/** The dialect over a pool of connections to PostgreSQL. Nothing is asked yet. */
export function openPostgres (settings: PostgresSettings, observer?: Observer): Connection {
  const { url, timeout } = settings
  const pool = createPool(settings)
  const migrations = readMigrations(migrationsOf('pg'))
  // The store is typed against SQLite's builders; PostgreSQL's have the same faces.
  const db = drizzle(pool) as unknown as Db
  const statement = <Row>(name: string, query: Query<Row>) => observed(name, prepared(name, query), observer)
  const ask = <T>(work: () => Promise<T>) => work().catch((error: unknown) => { throw new Unavailable(error) })

  return {
    dialect: { db, read: statement, write: statement },
    ping: () => ask(async () => { await pool.query('SELECT id FROM users LIMIT 1') }),
    isMigrated: () => ask(async () => await newestInPostgres(pool) >= migrations.newest),
    migrate: () => withOwnClient(url, timeout, (client) => migratePostgres(client, migrations)),
    serverTime: () => ask(async () => {
      const { rows: [row] } = await pool.query<{ ms: number }>('SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms')
      return Number(row?.ms)
    }),
    close: () => pool.end()
  }
}

export function createPool ({ url, pool: max, timeout }: PostgresSettings): Pool {
  const pool = new Pool({
    connectionString: url,
    application_name: APPLICATION,
    max,
    connectionTimeoutMillis: timeout,
    statement_timeout: timeout,
    query_timeout: timeout + UNHEARD,
    keepAlive: true
  })
  // An idle connection that breaks is replaced; whoever needs one hears of it.
  pool.on('error', () => {})
  return pool
}

/** For what may take longer than a statement of the service. */
async function withOwnClient<T> (url: string, timeout: number, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, application_name: APPLICATION, connectionTimeoutMillis: timeout, keepAlive: true })
  // The query under way fails with the same error.
  client.on('error', () => {})
  return await client.connect().then(() => work(client))
    .catch((error: unknown) => { throw new CannotOpen(error) })
    // Without a connection there is nothing to end.
    .finally(() => client.end().catch(() => {}))
}

/** Prepared once on each connection, by its name. */
function prepared<Row> (name: string, query: Query<Row>): Statement<Row> {
  const statement = query.prepare(name)
  return async (values) => {
    try {
      return await statement.execute(values)
    } catch (error) {
      // What Drizzle throws wraps what the driver throws. It repeats the values, of which some are nobody's business: hashes, keys.
      const { cause } = error as DrizzleQueryError
      throw isOurFault(cause) ? new Refusal(cause) : new Unavailable(cause)
    }
  }
}

/** PostgreSQL's own words without its details, in which it may repeat the whole row. */
class Refusal extends Error {
  override name = 'Refusal'
  readonly code: string | undefined

  constructor ({ message, code }: DatabaseError) {
    super(message)
    this.code = code
  }
}

/**
 * SQLSTATE classes 22, data exception, and 23, integrity constraint violation: trying again would not help.
 * But for 23503, foreign key violation: the user was deleted while a session of theirs was being opened, and the next try finds none.
 */
function isOurFault (error: unknown): error is DatabaseError {
  return error instanceof DatabaseError && /^2[23](?!503)/.test(String(error.code))
}
