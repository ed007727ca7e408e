import type { Store } from '../db/open.ts'
import type { Secrets } from '../secrets.ts'
import { faultOf } from './check.ts'
import type { Dependencies } from './export.ts'
import { readHeader, readRow, type Row } from './format.ts'

/** Many share a commit; few enough to hold the database for a few milliseconds only. */
const AT_ONCE = 500

export interface Imported {
  added: number
  /** They were there already, and stay as they are. */
  known: number
  /** Another account has the name, the address or the external id; a session's user is not there; another key begins at that moment. */
  refused: string[]
}

/** An import that cannot go on; `message` is one line for the terminal. What was imported before it stays. */
export class ImportError extends Error {
  override name = 'ImportError'
}

/**
 * Imports the lines of an export; twice is once.
 * @param progress is told how many rows have been read.
 * @throws ImportError
 */
export async function importLines ({ store, secrets }: Dependencies, lines: AsyncIterable<string>, progress: (rows: number) => void): Promise<Imported> {
  const ownKeys = new Set((await store.listSigningKeys()).map(({ kid }) => kid))
  const imported: Imported = { added: 0, known: 0, refused: [] }
  let rows = 0
  for await (const batch of batches(readRows(lines, secrets))) {
    const foreign = batch.some((row) => 'signing_key' in row && ownKeys.size > 0 && !ownKeys.has(row.signing_key.kid))
    if (foreign) fail('this database has signing keys of its own; import into one on which no service has been started')
    const outcomes = await Promise.all(batch.map(async (row) => ({ row, outcome: await write(store, row) })))
    for (const { row, outcome } of outcomes) {
      if (outcome === 'refused') imported.refused.push(nameOf(row))
      else imported[outcome] += 1
    }
    progress(rows += batch.length)
  }
  return imported
}

async function * readRows (lines: AsyncIterable<string>, secrets: Secrets): AsyncGenerator<Row> {
  let number = 0
  for await (const line of lines) {
    number += 1
    if (number === 1) checkHeader(line, secrets)
    else yield rowOf(line, number, secrets)
  }
  if (number === 0) checkHeader('', secrets)
}

function rowOf (line: string, number: number, secrets: Secrets): Row {
  const row = readRow(line) ?? fail(`line ${number}: expected a signing key, a user or a session as latchkey export writes it`)
  const fault = faultOf(row, secrets)
  return fault === undefined ? row : fail(`line ${number}: ${fault}`)
}

function checkHeader (line: string, secrets: Secrets) {
  const { secret } = readHeader(line) ?? fail('line 1: expected the header of an export that this release can read')
  if (!secrets.all.has(secret)) fail('LATCHKEY_SECRET: the export was made under another one; set that one here, or nobody\'s tokens are good any more')
}

function fail (message: string): never {
  throw new ImportError(message)
}

/** Rows of one kind together: what they refer to is written by then. */
async function * batches (rows: AsyncIterable<Row>): AsyncGenerator<Row[]> {
  let batch: Row[] = []
  for await (const row of rows) {
    if (batch.length === AT_ONCE || (batch[0] && kindOf(batch[0]) !== kindOf(row))) {
      yield batch
      batch = []
    }
    batch.push(row)
  }
  yield batch
}

async function write (store: Store, row: Row): Promise<'added' | 'known' | 'refused'> {
  if ('signing_key' in row) return await store.insertSigningKey(row.signing_key) ? 'added' : await knownOr(findKey(store, row.signing_key.kid))
  if ('user' in row) return await store.insertUser(row.user) ? 'added' : await knownOr(store.findUser(row.user.id))
  return await store.importSession(row.session) ? 'added' : await knownOr(store.findSession(row.session.id))
}

async function findKey (store: Store, kid: string) {
  return (await store.listSigningKeys()).find((key) => key.kid === kid)
}

async function knownOr (found: Promise<object | undefined>) {
  return await found ? 'known' : 'refused'
}

function kindOf (row: Row): string {
  return Object.keys(row).join()
}

function nameOf (row: Row): string {
  if ('user' in row) return `user ${row.user.username}`
  return 'session' in row ? `session ${row.session.id}` : `signing key ${row.signing_key.kid}`
}
