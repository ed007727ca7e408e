import t from 'tap'
import { migrateDatabase, openDatabase } from '../../src/db/open.ts'
import { folder } from '../fixtures/app.ts'
import { databaseIn, select, sql } from '../fixtures/database.ts'

const made = (path: string) => select(path, 'SELECT id FROM __drizzle_migrations').length

t.test('whether migrations are missing can be asked without making them; each is made once', async (t) => {
  const path = folder(t)
  const settings = databaseIn(path)
  t.strictSame(await migrateDatabase(settings, { check: true }), { made: 0, upToDate: false })
  const first = await migrateDatabase(settings, { check: false })
  t.strictSame(first, { made: made(path), upToDate: true })
  t.ok(first.made > 0)
  t.strictSame(await migrateDatabase(settings, { check: false }), { made: 0, upToDate: true })
  t.strictSame(await migrateDatabase(settings, { check: true }), { made: 0, upToDate: true })

  const { store, isMigrated, close } = await openDatabase(settings)
  t.strictSame(await store.listUsers('', 10), [])
  t.ok(await isMigrated())
  sql(path, 'DELETE FROM __drizzle_migrations')
  t.notOk(await isMigrated(), 'a backup of an earlier release was restored')
  await close()
})

t.test('when the table of migrations cannot be read → an error, and nothing is made', async (t) => {
  const path = folder(t)
  const settings = databaseIn(path)
  await migrateDatabase(settings, { check: false })
  sql(path, 'ALTER TABLE __drizzle_migrations RENAME COLUMN created_at TO away')
  for (const check of [true, false]) await t.rejects(migrateDatabase(settings, { check }), { message: /created_at/ })
  await t.rejects(openDatabase(settings), { message: /created_at/ })
  sql(path, 'ALTER TABLE __drizzle_migrations RENAME COLUMN away TO created_at')
  t.strictSame(await migrateDatabase(settings, { check: false }), { made: 0, upToDate: true })
})
