import type Database from 'better-sqlite3'
import { Unavailable } from '../unavailable.ts'

/**
 * Runs the reads that arrive together in one transaction: to begin and end one costs several times a read by key,
 * for SQLite takes its locks anew.
 */
export function createGroupRead (client: Database.Database) {
  const begin = client.prepare('BEGIN')
  const commit = client.prepare('COMMIT')
  let queue: (() => void)[] = []

  function read<Rows> (run: () => Rows): Promise<Rows> {
    return new Promise<Rows>((resolve, reject) => {
      if (queue.length === 0) setImmediate(flush)
      queue.push(() => {
        try {
          resolve(run())
        } catch (error) {
          reject(new Unavailable(error))
        }
      })
    })
  }

  function flush () {
    const reads = queue
    queue = []
    // Where there is nothing to share, or nothing to begin on, each read stands for itself.
    const shared = reads.length > 1 && begins()
    for (const one of reads) one()
    // After an I/O error SQLite has ended the transaction itself.
    if (shared && client.inTransaction) commit.run()
  }

  function begins (): boolean {
    try {
      begin.run()
      return true
    } catch {
      return false
    }
  }

  return read
}
