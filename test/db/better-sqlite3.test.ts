import { createRequire } from 'node:module'
import t from 'tap'
import { driverFor, Sqlite } from '../../src/db/better-sqlite3.ts'
import { exitCodeOf, explain } from '../../src/start-errors.ts'

t.test('each Node has the version of better-sqlite3 that does not end its process', async (t) => {
  for (const version of ['20.19.0', '20.20.2', '21.7.3']) t.equal(driverFor(version), 'better-sqlite3-12', version)
  for (const version of ['22.0.0', '22.23.2', '24.21.0', '26.0.0']) t.equal(driverFor(version), 'better-sqlite3', version)
})

t.test('statements are collected, and the process goes on', async (t) => {
  const client = new Sqlite(':memory:')
  // Enough garbage that it is collected meanwhile.
  for (let i = 0; i < 20_000; i++) client.prepare('SELECT ? AS n').get(i)
  t.strictSame(client.prepare('SELECT 1 AS n').get(), { n: 1 })
  client.close()
})

t.test('a start where it could not be installed → one line that says what to do, and the exit code of a database', async (t) => {
  const absent: unknown = await Promise.resolve().then(() => createRequire(import.meta.url)('better-sqlite3-0')).catch((error: unknown) => error)
  t.match(explain(absent), /^latchkey: DATABASE_URL: SQLite could not be compiled for Node 20; take Node 22 or later, or install Python 3, make and a C\+\+ compiler, and run npm ci again \(MODULE_NOT_FOUND\)$/)
  t.equal(exitCodeOf(absent), 4)
})
