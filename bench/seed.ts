import { join } from 'node:path'
import { Sqlite } from '../src/db/better-sqlite3.ts'
import { build } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

export const credentials = { username: 'ada', password: 'correct horse battery staple' }

const userAgent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'

/** The sessions are opened over the last hours, so that copies can lie between them in the index. */
const APART_MS = 10_000

/** Makes the database of a service with one user and `count` sessions; their tokens. */
export async function seed (env: NodeJS.ProcessEnv, count: number) {
  let time = Date.now() - count * APART_MS
  const app = await build(loadConfig({ ...env, LOG_LEVEL: 'silent' }), { now: () => time, random: Math.random })
  await app.inject({ method: 'POST', url: '/register', payload: credentials })
  const user = await app.db.store.findUserByUsername('ada')
  if (user === undefined) throw new Error('the user of the bench could not be made')
  const pairs = []
  for (let i = 0; i < count; i++) {
    time += APART_MS
    pairs.push(await app.sessions.open(user, { ip: '203.0.113.7', userAgent }))
  }
  await app.close()
  return {
    access: pairs.flatMap((pair) => pair ? [pair.tokens.access.token] : []),
    refresh: pairs.flatMap((pair) => pair ? [pair.tokens.refresh.token] : [])
  }
}

interface Copies {
  /** The columns of `sessions`. */
  columns: string[]
  /** How many sessions there are, and how many there are to be. */
  count: number
  total: number
}

/** The columns of the copy number `n`: all as they were but for the id, spread over the same hours; a real login for each would take a day. */
export function copiedColumns ({ columns, count, total }: Copies, idAt: (ms: string, n: string) => string): string {
  const step = Math.max(1, Math.floor(count * APART_MS / total))
  return columns.map((name) => name === 'id' ? idAt(`(${Date.now() - count * APART_MS} + n * ${step})`, 'n') : name).join()
}

/** Copies the newest session until there are `total`. */
export function multiplySessions (folder: string, total: number) {
  const client = new Sqlite(join(folder, 'latchkey.db'))
  client.pragma('synchronous = OFF')
  // The rows of PRAGMA table_info; all that is used of them is the name.
  const columns = (client.pragma('table_info(sessions)') as { name: string }[]).map(({ name }) => name)
  const count = Number(client.prepare('SELECT count(*) FROM sessions').pluck().get())
  const id = (ms: string, n: string) => `printf('%08x-%04x-7%03x-8000-%012x', ${ms} / 65536, ${ms} % 65536, ${n} % 4096, ${n})`
  client.exec(`
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${total - count})
    INSERT INTO sessions (${columns.join()})
    SELECT ${copiedColumns({ columns, count, total }, id)} FROM numbers, (SELECT * FROM sessions ORDER BY id DESC LIMIT 1)`)
  client.close()
}

/** Makes every session one that was refreshed for weeks: such rows are longer, and what has grown no longer fits its page. */
export function ageSessions (folder: string) {
  const client = new Sqlite(join(folder, 'latchkey.db'))
  client.pragma('synchronous = OFF')
  client.exec('UPDATE sessions SET generation = 40001, first = 40001, previous = 40000, previous_key_id = key_id')
  client.close()
}

/** Bytes that the sessions take in the file, indexes included. */
export function sessionBytes (folder: string): number {
  const client = new Sqlite(join(folder, 'latchkey.db'))
  client.pragma('wal_checkpoint(TRUNCATE)')
  const pages = Number(client.prepare("SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'sessions%' OR name LIKE 'sqlite_autoindex_sessions%'").pluck().get())
  const count = Number(client.prepare('SELECT count(*) FROM sessions').pluck().get())
  client.close()
  return pages / count
}
