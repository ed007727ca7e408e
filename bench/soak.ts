import { everything, onFile } from './environment.ts'
import { folder, median, printReport, report } from './figures.ts'
import { loginLoad, privateLoad, refreshLoad } from './load.ts'
import { credentials, seed } from './seed.ts'
import { startServer } from './servers.ts'

const MINUTES = Number(process.env['MINUTES'] ?? 10)
const TOKENS = 1_000
/** Each part of the load in turn; the jar of refresh tokens is handed on. */
const PART_SECONDS = 10
/** The heap finds its size in the first part of the time. */
const WARM_UP = 0.3

const path = folder()
const tokens = await seed(onFile(path), TOKENS)
const server = await startServer('src/server.js', { port: 4140, env: { ...onFile(path), ...everything(4140) } })
const memory: number[] = []
const started = performance.now()
const minutes = () => (performance.now() - started) / 60_000
let requests = 0

while (minutes() < MINUTES) {
  const [privates, refreshes, logins] = await Promise.all([
    privateLoad(server.url, tokens.access, { connections: 32, seconds: PART_SECONDS }),
    refreshLoad(server.url, tokens.refresh, { connections: 32, seconds: PART_SECONDS }),
    loginLoad(server.url, credentials, { connections: 2, seconds: PART_SECONDS })
  ])
  requests += (privates + refreshes + logins) * PART_SECONDS
  memory.push(server.memory())
  console.log(`  ${minutes().toFixed(1)} min: ${privates.toFixed(0)} private, ${refreshes.toFixed(0)} refresh, ${logins.toFixed(1)} login a second; ${server.memory().toFixed(0)} MB`)
}
await server.stop()

const warm = memory.slice(Math.floor(memory.length * WARM_UP))
const [early, late] = [warm.slice(0, warm.length / 2), warm.slice(warm.length / 2)]
console.log(`${requests.toFixed(0)} requests, all answered 2xx`)
report('memory of the second half ÷ of the first', median(late) / median(early), ['≤', 1.05])
printReport()
