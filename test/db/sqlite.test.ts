import type Database from 'better-sqlite3'
import { sql as fragment } from 'drizzle-orm'
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Sqlite } from '../../src/db/better-sqlite3.ts'
import { build as buildApp } from '../../src/app.ts'
import { Unavailable } from '../../src/unavailable.ts'
import { openDatabase } from '../../src/db/open.ts'
import { openSqlite } from '../../src/db/sqlite.ts'
import { build, folder, getPrivate, PASSWORD, post, register, registerAndLogin, settings } from '../fixtures/app.ts'
import { isProblem, select } from '../fixtures/accounts.ts'
import { databaseIn } from '../fixtures/database.ts'
import { signingKeyRow } from '../fixtures/rows.ts'

function open (t: Test, path = join(folder(t), 'latchkey.db')) {
  const opened = openSqlite(path)
  t.teardown(opened.close)
  return opened
}

t.test('what is answered survives a power cut and references hold: WAL, synchronous FULL, foreign keys, a short wait for locks', async (t) => {
  const { dialect: { db }, migrate } = open(t)
  await migrate()
  const pragma = async (name: string) => Object.values(await db.get<object>(fragment.raw(`PRAGMA ${name}`)))
  t.strictSame(await pragma('journal_mode'), ['wal'])
  t.strictSame(await pragma('synchronous'), [2])
  t.strictSame(await pragma('foreign_keys'), [1])
  t.strictSame(await pragma('busy_timeout'), [50])
})

t.test('the files are for their owner alone, whatever the umask: folders 0700, database, log, index and secret 0600', async (t) => {
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  const path = join(folder(t), 'made', 'here')
  const app = await build(t, { path })
  await register(app)
  const mode = (...names: string[]) => (statSync(join(path, ...names)).mode & 0o777).toString(8)
  t.strictSame({ above: mode('..'), folder: mode('.') }, { above: '700', folder: '700' })
  t.strictSame(['latchkey.db', 'latchkey.db-wal', 'latchkey.db-shm', 'secret'].map((name) => mode(name)), ['600', '600', '600', '600'])
})

t.test('a place where no database can be → the start fails, and says why', async (t) => {
  const path = folder(t)
  writeFileSync(join(path, 'file'), 'This is a text.\n'.repeat(500))
  mkdirSync(join(path, 'folder'))
  const openAt = (...names: string[]) => openDatabase({ database: { path: join(path, ...names) }, databasePool: 1, databaseTimeout: 1_000 })
  await t.rejects(openAt('file'), { code: 'SQLITE_NOTADB' })
  t.match(readFileSync(join(path, 'file'), 'utf8'), /^This is a text\.\n/, 'the file is left as it was')
  await t.rejects(openAt('file', 'latchkey.db'), { code: 'ENOTDIR' })
  await t.rejects(openAt('folder'), { code: 'EISDIR' })
  await t.rejects(buildApp(settings(join(path, 'file'))), { code: 'ENOTDIR' })
})

t.test('two starts of which one is told that the other has the lock → it tries again', async (t) => {
  const { pragma } = Sqlite.prototype
  let refusals = 2
  t.intercept(Sqlite.prototype, 'pragma', {
    value (this: Database.Database, ...args: Parameters<typeof pragma>) {
      if (args[0] === 'journal_mode = WAL' && refusals-- > 0) throw new Sqlite.SqliteError('database is locked', 'SQLITE_BUSY')
      return pragma.apply(this, args)
    }
  })
  const { dialect: { db } } = open(t)
  t.same(await db.get(fragment.raw('PRAGMA journal_mode')), { journal_mode: 'wal' })
  t.equal(refusals, -1)
})

t.test('a database that is damaged where every start reads → the start fails, and says so', async (t) => {
  const path = join(folder(t), 'latchkey.db')
  const { migrate, close } = openSqlite(path)
  await migrate()
  await close()
  truncateSync(path, 4096)
  await t.rejects(async () => await open(t, path).migrate(), { code: 'SQLITE_CORRUPT' })
})

t.test('POST /login, GET /private and GET /readyz on a database that is damaged where the users are → 503 unavailable, and no word of why', async (t) => {
  const path = folder(t)
  const before = await build(t, { path })
  const { access_token: token } = await registerAndLogin(before)
  const pages = select(path, 'SELECT rootpage FROM sqlite_schema WHERE tbl_name = ?', 'users').map((row) => Number(Object(row).rootpage))
  await before.close()

  const file = join(path, 'latchkey.db')
  const bytes = readFileSync(file)
  for (const page of pages) bytes.fill(0x2e, (page - 1) * 4096, page * 4096)
  writeFileSync(file, bytes)
  const app = await build(t, { path })
  const login = await post(app, '/login', { username: 'ada', password: PASSWORD })
  isProblem(t, login, 'unavailable')
  t.equal(login.headers['retry-after'], '5')
  t.notMatch(login.body, /malformed|SQLITE/)
  isProblem(t, await getPrivate(app, token), 'unavailable')
  isProblem(t, await app.inject('/readyz'), 'unavailable')
  t.equal((await app.inject('/livez')).statusCode, 200)
  await t.rejects(app.db.store.findUserByUsername('ada'), { name: 'Unavailable', cause: { code: 'SQLITE_CORRUPT' } })
})

t.test('close commits what is queued; what comes later is Unavailable', async (t) => {
  const path = folder(t)
  const { store, ping, close } = await openDatabase(databaseIn(path))
  const key = signingKeyRow('k')
  const queued = store.insertSigningKey(key)
  await ping()
  await close()
  t.match(await queued, key)
  t.strictSame(select(path, 'SELECT kid FROM signing_keys'), [{ kid: 'k' }])
  await t.rejects(store.insertSigningKey(key), Unavailable)
  await t.rejects(store.listSigningKeys(), Unavailable)
  const together = await Promise.allSettled([store.listSigningKeys(), store.findUser('id'), ping()])
  t.match(together, Array(3).fill({ status: 'rejected', reason: Unavailable }))
  await t.rejects(ping(), Unavailable)
})
