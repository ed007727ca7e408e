import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Sqlite } from '../../src/db/better-sqlite3.ts'
import { Unavailable } from '../../src/unavailable.ts'
import { createGroupCommit } from '../../src/db/group-commit.ts'
import { folder } from '../fixtures/app.ts'
import { holdLock } from '../fixtures/process.ts'

/** A database of one table, its group commit, every statement it ran, and a second connection that sees only what is committed. */
function open (t: Test) {
  const path = join(folder(t), 'test.db')
  const trace: string[] = []
  const client = new Sqlite(path, { timeout: 50, verbose: (statement) => trace.push(String(statement)) })
  client.pragma('journal_mode = WAL')
  client.exec('CREATE TABLE item (id INTEGER PRIMARY KEY, body TEXT)')
  client.exec('CREATE TABLE part (item INTEGER NOT NULL REFERENCES item DEFERRABLE INITIALLY DEFERRED)')
  const commits = createGroupCommit(client)
  t.teardown(() => client.close())
  const other = new Sqlite(path, { readonly: true })
  t.teardown(() => other.close())

  const insert = client.prepare('INSERT INTO item VALUES (?, ?) RETURNING id')
  const committed = other.prepare('SELECT id FROM item ORDER BY rowid').pluck()
  return {
    path,
    client,
    write: commits.write,
    close: commits.close,
    add: (id: number, body = '') => commits.write(() => insert.all(id, body)),
    committed: () => committed.all(),
    count: (start: string) => trace.filter((statement) => statement.startsWith(start)).length,
    forget: () => trace.splice(0)
  }
}

const upTo = (most: number, from = 1) => Array.from({ length: most }, (_, n) => from + n)

/** How each promise ended: its rows, or the name of its error. */
async function outcomes (writes: Promise<unknown>[]) {
  return (await Promise.allSettled(writes)).map((one) => one.status === 'fulfilled' ? one.value : one.reason.name)
}

t.test('writes that arrive together are one transaction, and each gets its own rows', async (t) => {
  const { add, count, forget, committed } = open(t)
  forget()
  t.strictSame(await Promise.all(upTo(10).map((id) => add(id))), upTo(10).map((id) => [{ id }]))
  t.equal(count('BEGIN IMMEDIATE'), 1)
  t.equal(count('COMMIT'), 1)
  t.strictSame(committed(), upTo(10))
})

t.test('a batch is at most 64 writes, and the writes keep their order', async (t) => {
  const { write, client, committed } = open(t)
  const insert = client.prepare('INSERT INTO item VALUES (?, ?)')
  const ran: number[] = []
  const seen: unknown[][] = []
  await Promise.all(upTo(200).map((id) => write(() => {
    ran.push(id)
    insert.run(201 - id, '')
    if (id % 64 === 1) seen.push(committed())
  })))
  t.strictSame(ran, upTo(200))
  t.strictSame(seen.map((ids) => ids.length), [0, 64, 128, 192], 'what another connection sees at the start of each batch')
  t.equal(committed().length, 200)
})

t.test('a write that arrives while a batch is answered goes into the next one', async (t) => {
  const { add, count, forget, committed } = open(t)
  forget()
  await add(1).then(async () => await add(2))
  t.equal(count('COMMIT'), 2)
  t.strictSame(committed(), [1, 2])
})

t.test('a write is answered after its commit, not before', async (t) => {
  const { add, committed } = open(t)
  const seen = await Promise.all(upTo(130).map(async (id) => {
    await add(id)
    return committed().includes(id)
  }))
  t.ok(seen.every(Boolean), 'another connection sees each row once its write is answered')
})

t.test('a constraint error fails its own write; the others of its batch stand', async (t) => {
  const { add, write, client, count, forget, committed } = open(t)
  await add(1)
  forget()
  const multi = client.prepare('INSERT INTO item VALUES (10, NULL), (1, NULL)')
  const writes = [add(2), add(1), write(() => multi.run()), add(3)]
  t.strictSame(await outcomes(writes), [[{ id: 2 }], 'SqliteError', 'SqliteError', [{ id: 3 }]])
  await t.rejects(Promise.all(writes), { code: 'SQLITE_CONSTRAINT_PRIMARYKEY' })
  t.equal(count('COMMIT'), 1)
  t.strictSame(committed(), [1, 2, 3], 'of the failed statement nothing stays, of the others all')
})

t.test('a fault of the program fails its own write too', async (t) => {
  const { add, write, client, committed } = open(t)
  const writes = [add(1), write(() => client.prepare('INSERT INTO item VALUES (?, ?)').run()), add(2)]
  t.strictSame(await outcomes(writes), [[{ id: 1 }], 'RangeError', [{ id: 2 }]])
  t.strictSame(committed(), [1, 2])
})

t.test('a statement that fails otherwise fails its whole batch with Unavailable, and the next batch works', async (t) => {
  const { add, write, client, committed } = open(t)
  const overflow = client.prepare('INSERT INTO item VALUES (abs(-9223372036854775808), NULL)')
  const writes = [add(1), write(() => overflow.run()), add(2)]
  t.strictSame(await outcomes(writes), ['Unavailable', 'Unavailable', 'Unavailable'])
  await t.rejects(Promise.all(writes), { message: 'the database is unavailable', cause: { code: 'SQLITE_ERROR', message: 'integer overflow' } })
  t.strictSame(committed(), [])
  t.notOk(client.inTransaction, 'it is rolled back at once, not with the next batch')
  t.strictSame(await add(3), [{ id: 3 }])
  t.strictSame(committed(), [3])
})

t.test('a COMMIT that fails fails its whole batch with Unavailable, and the next batch works', async (t) => {
  const { add, write, client, committed } = open(t)
  const orphan = client.prepare('INSERT INTO part VALUES (99)')
  const writes = [add(1), write(() => orphan.run()), add(2)]
  t.strictSame(await outcomes(writes), ['Unavailable', 'Unavailable', 'Unavailable'])
  await t.rejects(Promise.all(writes), { cause: { code: 'SQLITE_CONSTRAINT_FOREIGNKEY' } })
  t.strictSame(committed(), [])
  t.notOk(client.inTransaction)
  t.strictSame(await outcomes([add(99), write(() => orphan.run())]), [[{ id: 99 }], { changes: 1, lastInsertRowid: 1 }])
  t.strictSame(committed(), [99])
})

t.test('a full disk fails its whole batch with Unavailable; when there is room, the next one works', async (t) => {
  const { add, client, committed } = open(t)
  const page = 'x'.repeat(4000)
  await add(1)
  client.pragma(`max_page_count = ${Number(client.pragma('page_count', { simple: true })) + 4}`)

  const writes = [add(2), ...upTo(20, 3).map((id) => add(id, page))]
  t.strictSame(new Set(await outcomes(writes)), new Set(['Unavailable']), 'also the write that had found room')
  await t.rejects(Promise.all(writes), { cause: { code: 'SQLITE_FULL' } })
  t.strictSame(committed(), [1])
  t.strictSame(await add(2), [{ id: 2 }], 'a write that fits is taken')

  client.pragma('max_page_count = 1000')
  await Promise.all(upTo(20, 3).map((id) => add(id, page)))
  t.strictSame(committed(), upTo(22))
})

t.test('of several batches only the one with the fault fails', async (t) => {
  const { add, write, client, committed } = open(t)
  const overflow = client.prepare('INSERT INTO item VALUES (abs(-9223372036854775808), NULL)')
  const writes = upTo(192).map((id) => id === 100 ? write(() => overflow.run()) : add(id))
  const failed = (await outcomes(writes)).flatMap((one, n) => one === 'Unavailable' ? [n + 1] : [])
  t.strictSame(failed, upTo(64, 65))
  t.strictSame(committed(), [...upTo(64), ...upTo(64, 129)])
})

t.test('a database that cannot begin fails every batch with Unavailable', async (t) => {
  const { add, client } = open(t)
  client.close()
  t.strictSame(new Set(await outcomes(upTo(130).map((id) => add(id)))), new Set(['Unavailable']))
})

t.test('close commits what is queued, batch by batch, and answers it', async (t) => {
  const { add, close, count, forget, committed } = open(t)
  forget()
  const writes = Promise.all(upTo(130).map((id) => add(id)))
  close()
  t.strictSame(committed(), upTo(130))
  t.equal(count('COMMIT'), 3)
  t.equal((await writes).length, 130)
})

t.test('while another process holds the lock, writes wait, in order, and then are committed', async (t) => {
  const { path, add, count, forget, committed } = open(t)
  const { release } = await holdLock(t, path)
  forget()
  const early = upTo(70).map((id) => add(id))
  let answered = false
  Promise.race(early).then(() => { answered = true }, () => {})
  while (count('BEGIN') < 3) await new Promise(setImmediate)
  const late = add(71)
  t.notOk(answered)
  t.strictSame(committed(), [])
  await release()
  t.strictSame(await outcomes([...early, late]), upTo(71).map((id) => [{ id }]))
  t.strictSame(committed(), upTo(71))
})

t.test('close while another process holds the lock rejects what is queued', async (t) => {
  const { path, add, close, committed } = open(t)
  const { release } = await holdLock(t, path)
  const writes = upTo(70).map((id) => add(id))
  close()
  t.strictSame(new Set(await outcomes(writes)), new Set(['Unavailable']))
  await t.rejects(Promise.all(writes), { cause: { message: 'closed while the database was locked' } })
  await release()
  t.strictSame(committed(), [])
})

t.test('a lock that is held too long fails the writes that have waited 5 s, though the system clock is set back meanwhile', async (t) => {
  const { path, add, committed } = open(t)
  const { release } = await holdLock(t, path)
  const start = performance.now()
  const early = add(1)
  const { now } = Date
  const clock = t.intercept(Date, 'now', { value: () => now() - 3_600_000 })
  await t.rejects(early, Unavailable)
  t.ok(performance.now() - start >= 5_000, 'not before')

  const late = add(2)
  await new Promise((resolve) => setTimeout(resolve, 100))
  await release()
  t.strictSame(await late, [{ id: 2 }], 'a write that came later is still waiting')
  t.strictSame(committed(), [2])
  clock.restore()
})
