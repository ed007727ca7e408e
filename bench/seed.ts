import Database from 'better-sqlite3'
import { join } from 'node:path'
import { build } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

export const credentials = { username: 'ada', password: 'correct horse battery staple' }

const userAgent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'

export function environment (folder: string): NodeJS.ProcessEnv {
  // bcrypt at 10 keeps the bench short; the ratio does not depend on it.
  return { DATABASE_URL: `file:${join(folder, 'latchkey.db')}`, LATCHKEY_BCRYPT_COST: '10', LATCHKEY_ACCESS_TTL: '24h', LATCHKEY_PUBLIC_URL: 'http://latchkey.test' }
}

/** The sessions are opened over the last hours, so that copies can lie between them in the index. */
const APART_MS = 10_000

/** Makes the database of a service with one user and `count` sessions; their tokens. */
export async function seed (folder: string, count: number) {
  let time = Date.now() - count * APART_MS
  const app = await build(loadConfig({ ...environment(folder), LOG_LEVEL: 'silent' }), { now: () => time, random: Math.random })
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

/** Copies a session until there are `total`, spread over the same hours; a real login for each would take a day. */
export function multiplySessions (folder: string, total: number) {
  const client = new Database(join(folder, 'latchkey.db'))
  client.pragma('synchronous = OFF')
  // The rows of PRAGMA table_info; all that is used of them is the name.
  const columns = client.pragma('table_info(sessions)') as { name: string }[]
  const count = Number(client.prepare('SELECT count(*) FROM sessions').pluck().get())
  const step = Math.max(1, Math.floor(count * APART_MS / total))
  const start = Date.now() - count * APART_MS
  const values = columns.map(({ name }) => name === 'id'
    ? `printf('%08x-%04x-7%03x-8000-%012x', (${start} + n * ${step}) / 65536, (${start} + n * ${step}) % 65536, n % 4096, n)`
    : name)
  client.exec(`
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${total - count})
    INSERT INTO sessions (${columns.map(({ name }) => name).join()})
    SELECT ${values.join()} FROM numbers, (SELECT * FROM sessions ORDER BY id DESC LIMIT 1)`)
  client.close()
}

/** Bytes that the sessions take in the file, indexes included. */
export function sessionBytes (folder: string): number {
  const client = new Database(join(folder, 'latchkey.db'))
  client.pragma('wal_checkpoint(TRUNCATE)')
  const pages = Number(client.prepare("SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'sessions%' OR name LIKE 'sqlite_autoindex_sessions%'").pluck().get())
  const count = Number(client.prepare('SELECT count(*) FROM sessions').pluck().get())
  client.close()
  return pages / count
}
