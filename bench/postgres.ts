import { Client } from 'pg'
import { onServer } from './environment.ts'
import { printReport, report, rounds, ROUNDS, SECONDS } from './figures.ts'
import { postLoad, privateLoad, refreshLoad } from './load.ts'
import { copiedColumns, seed } from './seed.ts'
import { startServer } from './servers.ts'

const TOKENS = 1_000
const MANY = 1_000_000
const server = process.env['BENCH_POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const names = { small: 'latchkey_bench_small', large: 'latchkey_bench_large' }
const urlOf = (name: string) => Object.assign(new URL(server), { pathname: `/${name}` }).href

async function ask (url: string, ...statements: string[]) {
  const client = new Client({ connectionString: url })
  await client.connect()
  const results = []
  for (const statement of statements) results.push(await client.query(statement))
  await client.end()
  return results.at(-1)?.rows ?? []
}

const drop = () => ask(server, ...Object.values(names).map((name) => `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))

/** Copies the newest session until there are `total`. */
async function multiply (url: string, total: number) {
  const columns = (await ask(url, "SELECT column_name FROM information_schema.columns WHERE table_name = 'sessions' ORDER BY ordinal_position")).map((row) => String(row.column_name))
  const id = (ms: string, n: string) => `lpad(to_hex(${ms} / 65536), 8, '0') || '-' || lpad(to_hex(${ms} % 65536), 4, '0') || '-7' || lpad(to_hex(${n} % 4096), 3, '0') || '-8000-' || lpad(to_hex(${n}), 12, '0')`
  await ask(url, `INSERT INTO sessions (${columns.join()}) SELECT ${copiedColumns({ columns, count: TOKENS, total }, id)}
    FROM generate_series(1::bigint, ${total - TOKENS}) AS n, (SELECT * FROM sessions ORDER BY id DESC LIMIT 1) AS newest`, 'VACUUM ANALYZE sessions')
}

async function main () {
  console.log(`${ROUNDS} rounds of ${SECONDS} s, medians, on PostgreSQL`)
  await drop()
  await ask(server, ...Object.values(names).map((name) => `CREATE DATABASE ${name}`))
  const [small, large] = [onServer(urlOf(names.small)), onServer(urlOf(names.large))]
  const tokens = await seed(small, TOKENS)
  const jar = await seed(large, TOKENS)
  console.log(`making ${MANY} sessions`)
  await multiply(urlOf(names.large), MANY)
  await ask(urlOf(names.small),
    'CREATE TABLE floor_sessions (LIKE sessions INCLUDING ALL)', 'INSERT INTO floor_sessions SELECT * FROM sessions',
    'CREATE TABLE floor_counters (id text PRIMARY KEY, n integer, at bigint)', 'INSERT INTO floor_counters SELECT id, 0, 0 FROM sessions')

  const start = (module: string, port: number, env: NodeJS.ProcessEnv) => startServer(module, { port, env })
  const floor = await start('bench/floor-postgres.js', 4130, small)
  const one = await start('src/server.js', 4131, small)
  const other = await start('src/server.js', 4132, small)
  const crowded = await start('src/server.js', 4133, large)
  try {
    const load = { connections: 64, seconds: SECONDS }
    const half = { connections: 32, seconds: SECONDS }
    const [mine, yours] = [tokens.refresh.slice(0, TOKENS / 2), tokens.refresh.slice(TOKENS / 2)]
    const rate = await rounds({
      'bare UPDATE of a session': () => postLoad(`${floor.url}/session`, load),
      'bare UPDATE of a counter': () => postLoad(`${floor.url}/counter`, load),
      private: () => privateLoad(one.url, tokens.access, load),
      refresh: () => refreshLoad(one.url, mine, load),
      'refresh, two processes': async () => {
        const both = await Promise.all([refreshLoad(one.url, mine, half), refreshLoad(other.url, yours, half)])
        return both[0] + both[1]
      },
      'refresh at 1,000,000 sessions': () => refreshLoad(crowded.url, jar.refresh, load),
      'private at 1,000,000 sessions': () => privateLoad(crowded.url, jar.access, load)
    })
    report('POST /refresh ÷ a bare UPDATE of a session', rate.refresh / rate['bare UPDATE of a session'], ['≥', 0.5])
    report('POST /refresh ÷ a bare UPDATE of a counter', rate.refresh / rate['bare UPDATE of a counter'], ['≥', 0.5])
    report('POST /refresh at 1,000,000 sessions ÷ at 1,000', rate['refresh at 1,000,000 sessions'] / rate.refresh, ['≥', 0.75])
    report('GET /private at 1,000,000 sessions ÷ at 1,000', rate['private at 1,000,000 sessions'] / rate.private, ['≥', 0.75])
    report('POST /refresh of two processes ÷ of one', rate['refresh, two processes'] / rate.refresh, ['≥', 1])
  } finally {
    await Promise.all([floor, one, other, crowded].map((process) => process.stop()))
    await drop()
  }
  printReport()
}

await main()
