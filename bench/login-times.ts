import Database from 'better-sqlite3'
import bcrypt from 'bcryptjs'
import { join } from 'node:path'
import { onFile } from './environment.ts'
import { folder, median, printReport, report } from './figures.ts'
import { credentials, seed } from './seed.ts'
import { startServer } from './servers.ts'

/** Of each kind, one after the other; fewer than the failures that an account has in an hour. */
const TRIES = 40

let address = 0
/** Failures are counted by address: each try comes from one of its own, as a proxy tells it. */
const newAddress = () => `10.${++address >> 16}.${address >> 8 & 255}.${address & 255}`

const path = folder()
const env = { ...onFile(path), LATCHKEY_TRUST_PROXY: '127.0.0.1' }
await seed(env, 0)
addUsers()
const server = await startServer('src/server.js', { port: 4120, probe: '/livez', env })

/** The time of one failing login, ms. */
async function timed (username: string, expected: number, from = newAddress()): Promise<number> {
  const start = performance.now()
  const response = await fetch(`${server.url}/login`, {
    method: 'POST', headers: { 'content-type': 'application/json', 'x-forwarded-for': from }, body: JSON.stringify({ username, password: 'a wrong guess' })
  })
  await response.text()
  if (response.status !== expected) throw new Error(`${username}: ${response.status}`)
  return performance.now() - start
}

/** Users as an operator or an import leaves them. */
function addUsers () {
  const client = new Database(join(path, 'latchkey.db'))
  const columns = (client.pragma('table_info(users)') as { name: string }[]).map(({ name }) => name)
  const copy = (name: string, changed: Record<string, string>) => {
    const values = columns.map((column) => column in changed ? changed[column] : ['id', 'username', 'username_key'].includes(column) ? `'${name}'` : column)
    client.exec(`INSERT INTO users (${columns.join()}) SELECT ${values.join()} FROM users WHERE username_key = '${credentials.username}'`)
  }
  copy('disabled', { disabled_at: '1' })
  // The cost that the hash of an old installation had.
  copy('cheap', { password_hash: `replace(password_hash, substr(password_hash, instr(password_hash, '$2')), '${bcrypt.hashSync('something', 4)}')` })
  copy('locked', {})
  client.close()
}

const kinds = { unknown: 'nobody', known: credentials.username, disabled: 'disabled', 'with a cheap old hash': 'cheap' }
const times: Record<string, number[]> = {}
const note = (kind: string, time: number) => (times[kind] ??= []).push(time)

// Locked at one address: five failures each.
for (const name of ['locked', 'locked-and-unknown']) for (let i = 0; i < 5; i++) await timed(name, 401, '192.0.2.1')
for (let i = 0; i < TRIES; i++) {
  for (const [kind, name] of Object.entries(kinds)) note(kind, await timed(name, 401))
  // Who comes first differs: after the slow ones the first of the quick ones is slower.
  for (const name of i % 2 ? ['locked', 'locked-and-unknown'] : ['locked-and-unknown', 'locked']) note(name, await timed(name, 429, '192.0.2.1'))
}
await server.stop()

const middle = (kind: string) => median(times[kind] ?? [])
for (const [kind] of Object.entries(times)) console.log(`  ${kind}: ${middle(kind).toFixed(1)} ms`)
for (const kind of Object.keys(kinds).slice(1)) {
  report(`failed login, ${kind} ÷ unknown`, middle(kind) / middle('unknown'), ['≤', 1.05])
  report(`failed login, unknown ÷ ${kind}`, middle('unknown') / middle(kind), ['≤', 1.05])
}
report('locked, known ÷ unknown', middle('locked') / middle('locked-and-unknown'), ['≤', 1.25])
printReport()
