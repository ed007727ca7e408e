import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { Sqlite } from '../../src/db/better-sqlite3.ts'
import { migrateSqlite } from '../../src/db/migrate-sqlite.ts'
import { migrationsOf, readMigrations } from '../../src/db/migrations.ts'
import { build, folder, getPrivate, login, refresh, register, registerAndLogin } from '../fixtures/app.ts'
import { select, sql } from '../fixtures/accounts.ts'
import { runNode, startScript } from '../fixtures/process.ts'

/** What `npm run db:generate` reads and writes, in a folder of its own; `change` alters the description of the tables. */
function generate (t: Test, dialect: string, change = (tables: string) => tables) {
  const path = folder(t)
  mkdirSync(join(path, 'src'))
  for (const name of ['drizzle', 'src/db', 'drizzle.config.ts', 'package.json']) cpSync(name, join(path, name), { recursive: true })
  symlinkSync(resolve('node_modules'), join(path, 'node_modules'))
  const tables = join(path, 'src/db/tables.ts')
  writeFileSync(tables, change(readFileSync(tables, 'utf8')))
  const output = runNode(['node_modules/drizzle-kit/bin.cjs', 'generate'], { cwd: path, env: { ...process.env, DIALECT: dialect } })
  return { output, migrations: (dialect: string) => join(path, 'drizzle', dialect) }
}

const files = (path: string) => readdirSync(path, { recursive: true }).map(String).sort()

for (const [dialect, name] of [['sqlite', 'sqlite'], ['postgresql', 'pg']] as const) {
  t.test(`the migrations for ${dialect} are what the tables say (if not: npm run db:generate)`, async (t) => {
    const { output, migrations } = generate(t, dialect)
    t.match(output, 'No schema changes, nothing to migrate')
    t.strictSame(files(migrations(name)), files(join('drizzle', name)))
  })
}

t.test('a later migration that makes a table anew is applied once to a database in use, and nothing in it is lost', async (t) => {
  const path = folder(t)
  const before = await build(t, { path })
  const { refresh_token: token } = await registerAndLogin(before)
  await before.close()

  const { migrations } = generate(t, 'sqlite', (tables) => tables.replace('text(\'claims\').notNull()', 'text(\'claims\')'))
  const later = migrations('sqlite')
  t.match(files(later).filter((name) => /^\d+_.*sql$/.test(name)), ['0000_init.sql', '0001_delete_users.sql', /^0002_/])
  t.match(readFileSync(join(later, files(later).find((name) => name.startsWith('0002_')) ?? ''), 'utf8'), 'DROP TABLE `users`')

  const users = select(path, 'SELECT * FROM users')
  for (const about of ['the first start', 'the second']) {
    const client = new Sqlite(join(path, 'latchkey.db'))
    t.teardown(() => client.close())
    migrateSqlite(client, readMigrations(later))
    t.strictSame(select(path, 'SELECT * FROM users'), users, about)
    t.equal(select(path, 'SELECT id FROM __drizzle_migrations').length, 3, about)
    t.equal(client.pragma('foreign_keys', { simple: true }), 1, about)
    t.throws(() => client.exec("UPDATE users SET id = 'x'"), { code: 'SQLITE_CONSTRAINT_FOREIGNKEY' }, about)
  }
  sql(path, 'UPDATE users SET claims = NULL')
  sql(path, 'UPDATE users SET claims = ?', '{}')

  // A release before it starts on it too.
  const after = await build(t, { path })
  t.equal((await refresh(after, token)).statusCode, 200)
  await register(after, 'bob')
  t.equal((await getPrivate(after, (await login(after, 'bob')).access_token)).statusCode, 200)
})

t.test('a migration that fails leaves the database as it was', async (t) => {
  const path = folder(t)
  const migrations = join(path, 'migrations')
  cpSync('drizzle/sqlite', migrations, { recursive: true })
  writeFileSync(join(migrations, '0002_broken.sql'), 'CREATE TABLE half (id TEXT);--> statement-breakpoint\nCREATE TABLE users (id TEXT);')
  const journal = join(migrations, 'meta/_journal.json')
  const { entries, ...rest } = JSON.parse(readFileSync(journal, 'utf8'))
  const broken = { ...entries.at(-1), idx: entries.length, when: entries.at(-1).when + 1, tag: '0002_broken' }
  writeFileSync(journal, JSON.stringify({ ...rest, entries: [...entries, broken] }))

  const client = new Sqlite(join(path, 'latchkey.db'))
  t.teardown(() => client.close())
  t.throws(() => migrateSqlite(client, readMigrations(migrations)), { message: 'table users already exists' })
  t.strictSame(select(path, 'SELECT name FROM sqlite_schema'), [])
  migrateSqlite(client, readMigrations(migrationsOf('sqlite')))
  t.strictSame(select(path, 'SELECT count(*) AS users FROM users'), [{ users: 0 }])
})

t.test('six processes that start at once on a new database → all of them start, and it is migrated once', async (t) => {
  const path = folder(t)
  const processes = Array.from({ length: 6 }, () => startScript(t, `
    import { once } from 'node:events'
    import { openDatabase } from './dist/src/db/open.js'
    console.log('ready')
    await once(process.stdin, 'data')
    try {
      const { store, close } = await openDatabase({ database: { path: process.argv[1] } })
      console.log((await store.listUsers('', 10)).length)
      await close()
    } catch (error) {
      console.log(error)
    }
    process.exit()`, join(path, 'data', 'latchkey.db')))
  for (const { line } of processes) t.equal(await line(), 'ready')
  for (const { tell } of processes) tell('go')
  for (const { line } of processes) t.equal(await line(), '0')
  t.equal(select(join(path, 'data'), 'SELECT id FROM __drizzle_migrations').length, 2)
})
