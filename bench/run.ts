import { createSigner } from 'fast-jwt'
import { availableParallelism } from 'node:os'
import { bcryptAlone } from './bcrypt-alone.ts'
import { everything, onFile } from './environment.ts'
import { folder, printReport, report, rounds, ROUNDS, SECONDS } from './figures.ts'
import { loginLoad, privateLoad, refreshLoad } from './load.ts'
import { measurePurge } from './purge.ts'
import { ageSessions, credentials, multiplySessions, seed, sessionBytes } from './seed.ts'
import { startServer } from './servers.ts'
import { privateTail } from './tail.ts'

const TOKENS = 1_000
const MANY = 1_000_000
const FLOOR_SECRET = 'of the floor alone; it guards nothing'

/** The floor's tokens say as much as ours do. */
function claimsOf (token: string): object {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

async function main () {
  console.log(`${ROUNDS} rounds of ${SECONDS} s, medians, ${TOKENS} tokens; Node ${process.version}, ${availableParallelism()} cores`)
  const small = folder()
  const large = folder()
  const tokens = await seed(onFile(small), TOKENS)
  const jar = await seed(onFile(large), TOKENS)
  console.log(`making ${MANY} sessions`)
  multiplySessions(large, MANY)

  const floor = await startServer('bench/floor.js', { port: 4100, env: { SECRET: FLOOR_SECRET } })
  const latchkey = await startServer('src/server.js', { port: 4101, env: onFile(small) })
  const complete = await startServer('src/server.js', { port: 4102, env: { ...onFile(small), ...everything(4102) } })
  const crowded = await startServer('src/server.js', { port: 4103, env: onFile(large) })
  try {
    report('first 200 after the start, s', latchkey.startedIn / 1000, ['≤', 1])
    report('memory before any login, MB', latchkey.memory(), ['≤', 120])
    const sign = createSigner({ key: FLOOR_SECRET })
    const floorTokens = tokens.access.map((token, n) => sign({ ...claimsOf(token), n }))
    await measureThroughput({ floor: floor.url, latchkey: latchkey.url, complete: complete.url, crowded: crowded.url }, { floorTokens, tokens, jar })
    await measureTail(latchkey.url, tokens.access)
    await measureLogins(latchkey.url)
  } finally {
    await Promise.all([floor, latchkey, complete, crowded].map((server) => server.stop()))
  }
  ageSessions(large)
  report('bytes per session', sessionBytes(large), ['≤', 400])
  await measurePurge(large)
  printReport()
}

type Tokens = Awaited<ReturnType<typeof seed>>

async function measureThroughput (urls: Record<'floor' | 'latchkey' | 'complete' | 'crowded', string>, { floorTokens, tokens, jar }: { floorTokens: string[], tokens: Tokens, jar: Tokens }) {
  const load = { connections: 64, seconds: SECONDS }
  const rate = await rounds({
    floor: () => privateLoad(urls.floor, floorTokens, load),
    private: () => privateLoad(urls.latchkey, tokens.access, load),
    'private, everything on': () => privateLoad(urls.complete, tokens.access, load),
    refresh: () => refreshLoad(urls.latchkey, tokens.refresh, load),
    'refresh, everything on': () => refreshLoad(urls.complete, tokens.refresh, load),
    'refresh at 1,000,000 sessions': () => refreshLoad(urls.crowded, jar.refresh, load)
  })
  report('GET /private ÷ floor', rate.private / rate.floor, ['≥', 0.7])
  report('GET /private with everything on ÷ floor', rate['private, everything on'] / rate.floor, ['≥', 0.6])
  report('POST /refresh ÷ floor', rate.refresh / rate.floor, ['≥', 0.25])
  report('POST /refresh with everything on ÷ floor', rate['refresh, everything on'] / rate.floor, ['≥', 0.2])
  report('POST /refresh at 1,000,000 sessions ÷ at 1,000', rate['refresh at 1,000,000 sessions'] / rate.refresh, ['≥', 0.75])
}

async function measureTail (url: string, tokens: string[]) {
  const pace = { rate: 150, seconds: SECONDS }
  const tail = await rounds({
    peace: () => privateTail(url, tokens, pace),
    storm: async () => {
      const [, p99] = await Promise.all([loginLoad(url, credentials, { connections: 16, seconds: SECONDS }), privateTail(url, tokens, pace)])
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

await main()
