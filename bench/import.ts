import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { folder } from './figures.ts'

/** `BENCH_POSTGRES_URL` names a server on which a database may be created; without it SQLite alone is measured. */
const postgres = process.env['BENCH_POSTGRES_URL']
const COUNTS = (process.env['USERS'] ?? '10000,100000').split(',').map(Number)
const SECRET = randomBytes(32).toString('base64')

/** What Django writes for so many users, of whom every tenth has no address. */
async function writeDump (path: string, count: number) {
  await pipeline(Readable.from(items(count)), createWriteStream(path))
}

function * items (count: number): Generator<string> {
  for (let pk = 1; pk <= count; pk++) {
    const fields = {
      password: `pbkdf2_sha256$1000000$${randomBytes(11).toString('hex')}$${randomBytes(32).toString('base64')}`,
      last_login: '2026-01-31T12:00:00.123Z',
      is_superuser: false,
      username: `user${pk}`,
      first_name: 'Ada',
      last_name: 'Lovelace',
      email: pk % 10 === 0 ? '' : `user${pk}@example.com`,
      is_staff: false,
      is_active: true,
      date_joined: '2021-03-04T05:06:07.890Z',
      groups: [1],
      user_permissions: []
    }
    yield `${pk === 1 ? '[' : ', '}${JSON.stringify({ model: 'auth.user', pk, fields })}`
  }
  yield ']\n'
}

/** Runs the command as an operator does; its seconds, and the most memory (MB) that it had. */
async function measure (dump: string, env: NodeJS.ProcessEnv) {
  const program = fileURLToPath(new URL('../src/cli.js', import.meta.url))
  // The highest resident size is the process's own to tell (getrusage); on Linux in KiB.
  const tell = 'data:text/javascript,process.on("exit",()=>console.error("peak",process.resourceUsage().maxRSS))'
  const start = performance.now()
  const child = spawn(process.execPath, ['--import', tell, program, 'users', 'import', dump, '--from', 'django'], { env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'pipe'] })
  let told = ''
  child.stderr.on('data', (chunk) => { told += chunk })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(told)
  return { seconds: (performance.now() - start) / 1000, 'peak MB': Number(/peak (\d+)/.exec(told)?.[1]) / 1024 }
}

async function withDatabase<T> (url: string, work: (url: string) => Promise<T>): Promise<T> {
  const name = `latchkey_import_${process.pid}`
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(`CREATE DATABASE ${name}`)
    return await work(Object.assign(new URL(url), { pathname: `/${name}` }).href)
  } finally {
    await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    await client.end()
  }
}

const figures: object[] = []

function note (database: string, users: number, { seconds, 'peak MB': peak }: Awaited<ReturnType<typeof measure>>) {
  figures.push({ database, users, seconds: Number(seconds.toFixed(1)), 'users a second': Math.round(users / seconds), 'peak MB': Math.round(peak) })
}

const path = folder()
for (const count of COUNTS) {
  const dump = join(path, `${count}.json`)
  await writeDump(dump, count)
  note('SQLite', count, await measure(dump, { DATABASE_URL: `file:${join(path, String(count), 'latchkey.db')}` }))
  if (postgres) note('PostgreSQL', count, await withDatabase(postgres, (url) => measure(dump, { DATABASE_URL: url, LATCHKEY_SECRET: SECRET })))
}
console.table(figures)
