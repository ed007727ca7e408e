import type { Store } from '../db/open.ts'
import { pages } from '../pages.ts'
import type { Secrets } from '../secrets.ts'
import { writeLine } from './format.ts'

export interface Dependencies {
  store: Store
  secrets: Secrets
}

/**
 * The lines of an export: a header, then signing keys, users and sessions, each after what it refers to.
 * Keys stay encrypted under the master secret, and passwords hashes.
 * @param progress is told how many rows have been read.
 */
export async function * exportLines ({ store, secrets }: Dependencies, progress: (rows: number) => void): AsyncGenerator<string> {
  let rows = 0
  yield writeLine({ latchkey: 'export', version: 1, secret: secrets.primary.id })
  for (const row of await store.listSigningKeys()) yield told(writeLine({ signing_key: row }))
  for await (const row of pages(store.listUsers)) yield told(writeLine({ user: row }))
  for await (const row of pages(store.listSessions)) yield told(writeLine({ session: row }))

  function told (line: string): string {
    progress(++rows)
    return line
  }
}
