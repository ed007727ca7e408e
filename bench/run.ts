import { createSigner } from 'fast-jwt'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { bcryptAlone } from './bcrypt-alone.ts'
import { loginLoad, privateLoad, privateTail, refreshLoad } from './load.ts'
import { credentials, environment, multiplySessions, seed, sessionBytes } from './seed.ts'
import { startServer } from './servers.ts'

const ROUNDS = Number(process.env['ROUNDS'] ?? 5)
const SECONDS = Number(process.env['SECONDS'] ?? 4)
const TOKENS = 1_000
const MANY = 1_000_000
const FLOOR_SECRET = 'of the floor alone; it guards nothing'

interface Figure {
  name: string
  measured: number
  target: string
  met: boolean
}

const figures: Figure[] = []
const folders: string[] = []

function folder (): string {
  const path = mkdtempSync(join(tmpdir(), 'latchkey-bench-'))
  folders.push(path)
  return path
}

/** The floor's tokens say as much as ours do. */
function claimsOf (token: string): object {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

function median (values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

function report (name: string, measured: number, [bound, target]: ['≥' | '≤', number]) {
  const met = bound === '≥' ? measured >= target : measured <= target
  figures.push({ name, measured, target: `${bound} ${target}`, met })
  console.log(`  ${name}: ${measured.toFixed(2)} (${bound} ${target}) ${met ? '' : ' MISSED'}`)
}

/** Interleaved: one round of each after another, so that a slow minute of the machine is everybody's. */
async function rounds<K extends string> (loads: Record<K, () => Promise<number>>): Promise<Record<K, number>> {
  const names = Object.keys(loads) as K[]
  const results = new Map<K, number[]>(names.map((name) => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) {
      const result = await loads[name]()
      results.get(name)?.push(result)
      process.stdout.write(`  round ${round + 1}/${ROUNDS} ${name}: ${result.toFixed(1)}\n`)
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(results.get(name) ?? [])])) as Record<K, number>
}

async function main () {
  console.log(`${ROUNDS} rounds of ${SECONDS} s, medians, ${TOKENS} tokens; Node ${process.version}, ${availableParallelism()} cores`)
  const small = folder()
  const large = folder()
  const tokens = await seed(small, TOKENS)
  const jar = await seed(large, TOKENS)
  console.log(`making ${MANY} sessions`)
  multiplySessions(large, MANY)

  const floor = await startServer('bench/floor.js', { port: 4100, probe: '/livez', env: { SECRET: FLOOR_SECRET } })
  const latchkey = await startServer('src/server.js', { port: 4101, probe: '/livez', env: environment(small) })
  const crowded = await startServer('src/server.js', { port: 4102, probe: '/livez', env: environment(large) })
  try {
    report('first 200 after the start, s', latchkey.startedIn / 1000, ['≤', 1])
    report('memory before any login, MB', latchkey.memory(), ['≤', 120])
    const sign = createSigner({ key: FLOOR_SECRET })
    const floorTokens = tokens.access.map((token, n) => sign({ ...claimsOf(token), n }))
    await measureThroughput({ floor: floor.url, latchkey: latchkey.url, crowded: crowded.url }, { floorTokens, tokens, jar })
    await measureTail(latchkey.url, tokens.access)
    await measureLogins(latchkey.url)
  } finally {
    await Promise.all([floor.stop(), latchkey.stop(), crowded.stop()])
  }
  report('bytes per session', sessionBytes(large), ['≤', 400])
  console.table(figures.map(({ name, measured, target, met }) => ({ name, measured: Number(measured.toFixed(2)), target, met })))
}

type Tokens = Awaited<ReturnType<typeof seed>>

async function measureThroughput (urls: Record<'floor' | 'latchkey' | 'crowded', string>, { floorTokens, tokens, jar }: { floorTokens: string[], tokens: Tokens, jar: Tokens }) {
  const load = { connections: 64, seconds: SECONDS }
  const rate = await rounds({
    floor: () => privateLoad(urls.floor, floorTokens, load),
    private: () => privateLoad(urls.latchkey, tokens.access, load),
    refresh: () => refreshLoad(urls.latchkey, tokens.refresh, load),
    'refresh at 1,000,000 sessions': () => refreshLoad(urls.crowded, jar.refresh, load)
  })
  report('GET /private ÷ floor', rate.private / rate.floor, ['≥', 0.7])
  report('POST /refresh ÷ floor', rate.refresh / rate.floor, ['≥', 0.25])
  report('POST /refresh at 1,000,000 sessions ÷ at 1,000', rate['refresh at 1,000,000 sessions'] / rate.refresh, ['≥', 0.75])
}

async function measureTail (url: string, tokens: string[]) {
  const tail = await rounds({
    peace: () => privateTail(url, tokens, 150, SECONDS),
    storm: async () => {
      const [, p99] = await Promise.all([loginLoad(url, credentials, { connections: 16, seconds: SECONDS }), privateTail(url, tokens, 150, SECONDS)])
      return p99
    }
  })
  report('p99 of /private, 16 logins at once ÷ in peace', tail.storm / tail.peace, ['≤', 3])
}

async function measureLogins (url: string) {
  const threads = Math.max(1, availableParallelism() - 1)
  const logins = await rounds({
    bcrypt: () => bcryptAlone({ threads, cost: 10, seconds: SECONDS }),
    login: () => loginLoad(url, credentials, { connections: 8, seconds: SECONDS })
  })
  report('POST /login ÷ bcryptjs alone', logins.login / logins.bcrypt, ['≥', 0.9])
}

try {
  await main()
} finally {
  for (const path of folders) rmSync(path, { recursive: true, force: true })
}
