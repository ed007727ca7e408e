import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import t from 'tap'
import { build } from '../../src/app.ts'
import { run } from '../../src/commands.ts'
import { loadConfig } from '../../src/config.ts'
import { migrateDatabase, openDatabase } from '../../src/db/open.ts'
import { explain } from '../../src/start-errors.ts'
import { cluster, withCluster } from '../fixtures/cluster.ts'
import { psql, SECRET } from '../fixtures/postgres.ts'
import { freePort, portOf } from '../fixtures/process.ts'
import { terminal } from '../fixtures/commands.ts'
import { startServer } from '../fixtures/server.ts'

/** The lock of the migrations. */
const LOCK = 0x6c61746368
/** Longer than Fastify waits for a plugin unless told otherwise (ms). */
const LONG_MIGRATION = 10_500

const { url, create, port } = withCluster.skip ? { url: () => '', create: () => '', port: 0 } : await cluster()
const free = await freePort()
const mute = createServer().listen(0, '127.0.0.1')
await once(mute, 'listening')
t.teardown(() => mute.close())
if (port !== 0) {
  psql("CREATE ROLE locked LOGIN PASSWORD 'right'; CREATE ROLE stranger LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE crowded LOGIN CONNECTION LIMIT 0", url())
}

const at = (rest: string, user = 'postgres:sentinel') => `postgres://${user}@127.0.0.1:${port}/${rest}`
const failures: [string, string, RegExp][] = [
  ['a port where nobody listens', `postgres://postgres:sentinel@127.0.0.1:${free}/postgres`, /nobody listens there \(ECONNREFUSED\)/],
  ['a host that does not exist', 'postgres://postgres:sentinel@nowhere.invalid/postgres', /(there is no host of that name \(ENOTFOUND\)|the name of the host cannot be looked up now \(EAI_AGAIN\))/],
  ['a server that says nothing', `postgres://postgres:sentinel@127.0.0.1:${portOf(mute)}/postgres`, /the host does not answer/],
  ['a socket that is not there', 'postgres:///postgres?host=/nowhere&user=postgres&password=sentinel', /there is no socket at that path \(ENOENT\)/],
  ['a database that does not exist', at('nowhere'), /there is no such database; create it first \(3D000\)/],
  ['a wrong password', at('postgres', 'locked:sentinel'), /the password is wrong \(28P01\)/],
  ['no password where one is needed', at('postgres', 'locked'), /the user needs a password/],
  ['a user that does not exist', at('postgres', 'nobody:sentinel'), /the user is not let in \(28000\)/],
  ['a user that is kept out', at('postgres', 'stranger:sentinel'), /the user is not let in \(28000\)/],
  ['a user that may not make tables', at('postgres', 'reader:sentinel'), /the user may not create tables there \(42501\)/],
  ['a schema that does not exist', at('postgres?options=-csearch_path%3Dnowhere'), /there is no schema to put tables into \(3F000\)/],
  ['a user that has no connection left', at('postgres', 'crowded:sentinel'), /the server has no connection left \(53300\)/],
  ['TLS where the server has none', at('postgres?sslmode=verify-full'), /The server does not support SSL connections/]
]

/** A service that starts while another process holds the lock of the migrations. */
async function startBehindAnother () {
  const database = create('busy')
  const holder = new Client({ connectionString: database })
  await holder.connect()
  await holder.query('SELECT pg_advisory_lock($1)', [LOCK])
  const begun = performance.now()
  const starting = build(loadConfig({ DATABASE_URL: database, LATCHKEY_SECRET: SECRET, LOG_LEVEL: 'silent', LATCHKEY_DATABASE_TIMEOUT: '1s' }))
  await delay(LONG_MIGRATION)
  await holder.end()
  return { app: await starting, waited: performance.now() - begun }
}
// It waits while the other tests run; what it fails with, its own test is told.
const behindAnother = withCluster.skip ? undefined : startBehindAnother()
behindAnother?.catch(() => {})

for (const [what, address, line] of failures) {
  t.test(`a start with ${what} → an error that is explained in one line, without the password; and so are commands`, withCluster, async (t) => {
    const env = { DATABASE_URL: address, LATCHKEY_SECRET: SECRET, LOG_LEVEL: 'silent', LATCHKEY_DATABASE_TIMEOUT: '1s' }
    for (const attempt of [() => build(loadConfig(env)), () => run(['migrate'], terminal([], { env }))]) {
      const error: unknown = await attempt().catch((error: unknown) => error)
      t.match(explain(error), new RegExp(`^latchkey: DATABASE_URL: ${line.source}$`))
      t.notMatch(explain(error), /sentinel/)
    }
  })
}

t.test('a server that is started with a wrong password → one line without it, exit 4', withCluster, async (t) => {
  const { code, out, err } = await startServer(t, { DATABASE_URL: at('postgres', 'locked:sentinel'), LATCHKEY_SECRET: SECRET, LOG_LEVEL: 'silent' }).ended
  t.strictSame({ code, out, err }, { code: 4, out: '', err: 'latchkey: DATABASE_URL: the password is wrong (28P01)\n' })
})

t.test('a start while another process migrates for longer than a statement, or a plugin of Fastify, may take → waits, and succeeds', withCluster, async (t) => {
  const started = await behindAnother
  t.ok(Number(started?.waited) > LONG_MIGRATION)
  t.equal((await started?.app.inject('/readyz'))?.statusCode, 200)
  await started?.app.close()
})

t.test('a migration that fails → one line, and the database is as it was; when what was in the way is gone, the next start succeeds', withCluster, async (t) => {
  const settings = { database: { url: create('half') }, databasePool: 1, databaseTimeout: 5_000 }
  const tables = () => psql("SELECT string_agg(relname, ',') FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'", url('half'))
  psql('CREATE TABLE sessions (id text)', url('half'))
  const error: unknown = await openDatabase(settings).catch((error: unknown) => error)
  t.equal(explain(error), 'latchkey: DATABASE_URL: relation "sessions" already exists')
  t.equal(tables(), 'sessions')
  psql('DROP TABLE sessions', url('half'))
  await (await openDatabase(settings)).close()
  t.match(tables(), 'audit_events')
})

t.test('a command that only asks, of a server that says nothing, and of a database without tables → one line, and none is made', withCluster, async (t) => {
  const list = (url: string) => run(['keys', 'list'], terminal([], { env: { DATABASE_URL: url, LATCHKEY_SECRET: SECRET, LATCHKEY_DATABASE_TIMEOUT: '1s' } }))
  await t.rejects(list(`postgres://postgres@127.0.0.1:${portOf(mute)}/postgres`), { name: 'CannotOpen', message: 'DATABASE_URL: the host does not answer' })
  const empty = create('empty')
  await t.rejects(list(empty), { name: 'Refused', message: 'migrations are missing; latchkey migrate makes them' })
  t.equal(psql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace", empty), '0')
})

t.test('whether migrations are missing, asked with a wrong password → one line', withCluster, async (t) => {
  const settings = { database: { url: at('postgres', 'locked:sentinel') }, databasePool: 1, databaseTimeout: 5_000 }
  for (const check of [true, false]) await t.rejects(migrateDatabase(settings, { check }), { name: 'CannotOpen', message: 'DATABASE_URL: the password is wrong (28P01)' })
})
