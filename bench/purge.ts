import { join } from 'node:path'
import { Sqlite } from '../src/db/better-sqlite3.ts'
import { loadConfig } from '../src/config.ts'
import { openDatabase } from '../src/db/open.ts'
import { PURGED_AT_ONCE } from '../src/pages.ts'
import { onFile } from './environment.ts'
import { median, report } from './figures.ts'

/** One session of so many has expired, wherever it lies in the file: the worst case, for nearly each is on a page of its own. */
const ONE_OF = 20

/** How long the batches of a purge keep other writes waiting, in a database of many sessions. */
export async function measurePurge (folder: string) {
  const client = new Sqlite(join(folder, 'latchkey.db'))
  client.exec(`UPDATE sessions SET expires_at = 1 WHERE rowid % ${ONE_OF} = 0`)
  client.close()

  const { store, close } = await openDatabase(loadConfig(onFile(folder)))
  const times: number[] = []
  for (let purged = PURGED_AT_ONCE; purged === PURGED_AT_ONCE;) {
    const start = performance.now()
    purged = await store.purgeSessions(Date.now(), PURGED_AT_ONCE)
    times.push(performance.now() - start)
  }
  await close()
  console.log(`  ${times.length} batches, the longest of ${Math.max(...times).toFixed(1)} ms`)
  report('a batch of the purge, ms', median(times), ['≤', 10])
}
