import bcrypt from 'bcryptjs'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Sqlite } from '../src/db/better-sqlite3.ts'
import { onFile } from './environment.ts'
import { folder, median, printReport, report } from './figures.ts'
import { credentials, seed } from './seed.ts'
import { startServer } from './servers.ts'

/** Of each kind, one after the other; fewer than the failures that an account has in an hour. */
const TRIES = Number(process.env['TRIES'] ?? 30)
/** These take a millisecond each. */
const LOCKED_TRIES = 500
/** The default, by which a failure's time is chosen. */
const COST = '12'

/** `manage.py dumpdata auth.user` of a real Django. */
const djangoUsers: { fields: { password: string } }[] = JSON.parse(readFileSync('test/data/django/users.json', 'utf8'))

function fromDjango (scheme: string): string {
  const user = djangoUsers.find(({ fields }) => fields.password.startsWith(scheme))
  if (user === undefined) throw new Error(`no hash of ${scheme} in the dump`)
  return user.fields.password
}

/** By the names of the users who have them: what an old installation and an import leave. */
const oldHashes: Record<string, string> = {
  'cheap bcrypt': `bcrypt_hmac_sha384$builtin$04$${bcrypt.hashSync('something', 4).slice(-53)}`,
  // By the defaults of Django 5.2.
  'PBKDF2 of Django': fromDjango('pbkdf2_sha256$1000000$'),
  'scrypt of Django': fromDjango('scrypt$16384$'),
  'Argon2 of Django': fromDjango('argon2$argon2id$')
}

let address = 0
/** Failures are counted by address: each try comes from one of its own, as a proxy tells it. */
const newAddress = () => `10.${++address >> 16}.${address >> 8 & 255}.${address & 255}`

const path = folder()
const env = { ...onFile(path), LATCHKEY_TRUST_PROXY: '127.0.0.1', LATCHKEY_BCRYPT_COST: COST }
await seed(env, 0)
addUsers()
const server = await startServer('src/server.js', { port: 4120, env })

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

function addUsers () {
  const client = new Sqlite(join(path, 'latchkey.db'))
  const columns = (client.pragma('table_info(users)') as { name: string }[]).map(({ name }) => name)
  const copy = (name: string, changed: Record<string, string> = {}) => {
    const values = columns.map((column) => column in changed ? `'${changed[column]}'` : ['id', 'username', 'username_key'].includes(column) ? `'${name.toLowerCase()}'` : column)
    client.exec(`INSERT INTO users (${columns.join()}) SELECT ${values.join()} FROM users WHERE username_key = '${credentials.username}'`)
  }
  copy('disabled', { disabled_at: '1' })
  copy('locked')
  for (const [name, hash] of Object.entries(oldHashes)) copy(name, { password_hash: hash })
  client.close()
}

const kinds = { unknown: 'nobody', known: credentials.username, disabled: 'disabled', ...Object.fromEntries(Object.keys(oldHashes).map((name) => [name, name])) }
const times: Record<string, number[]> = {}
const note = (kind: string, time: number) => (times[kind] ??= []).push(time)

for (let i = 0; i < TRIES; i++) {
  console.log(`  try ${i + 1}/${TRIES}`)
  for (const [kind, name] of Object.entries(kinds)) note(kind, await timed(name, 401))
}
// Locked at one address: five failures each. They are quick, and so by themselves: the minute is not over before.
const locked = ['locked', 'locked-and-unknown']
for (const name of locked) for (let i = 0; i < 5; i++) await timed(name, 401, '192.0.2.1')
for (let i = 0; i < LOCKED_TRIES; i++) for (const name of i % 2 ? locked : locked.toReversed()) note(name, await timed(name, 429, '192.0.2.1'))
await server.stop()

const middle = (kind: string) => median(times[kind] ?? [])
for (const [kind] of Object.entries(times)) console.log(`  ${kind}: ${middle(kind).toFixed(1)} ms`)
for (const kind of Object.keys(kinds).slice(1)) {
  report(`failed login, ${kind} ÷ unknown`, middle(kind) / middle('unknown'), ['≤', 1.05])
  report(`failed login, unknown ÷ ${kind}`, middle('unknown') / middle(kind), ['≤', 1.05])
}
report('locked, known ÷ unknown', middle('locked') / middle('locked-and-unknown'), ['≤', 1.05])
printReport()
