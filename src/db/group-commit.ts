import type Database from 'better-sqlite3'
import { Sqlite } from './better-sqlite3.ts'
import { Unavailable } from '../unavailable.ts'

/** Enough to pay one fsync for many; few enough that a batch holds the event loop for about a millisecond. */
const MOST_PER_BATCH = 64
/** How long a write waits for a lock that another process holds. */
const LONGEST_WAIT_MS = 5_000
export const PAUSE_WHEN_LOCKED_MS = 20

interface Write {
  run: () => unknown
  resolve: (rows: unknown) => void
  reject: (error: unknown) => void
  /** By `performance.now()`: nobody sets that clock. */
  deadline: number
}

/**
 * Commits the writes that arrive together in one transaction, and answers each after the commit.
 * A constraint error fails its own write; a full disk, an I/O error or a failed COMMIT fails the batch.
 * While another process holds the lock the batch waits in the queue, not in SQLite, which would block the event loop.
 */
export function createGroupCommit (client: Database.Database, committed: (writes: number) => void = () => {}) {
  const begin = client.prepare('BEGIN IMMEDIATE')
  const commit = client.prepare('COMMIT')
  const rollback = client.prepare('ROLLBACK')
  let queue: Write[] = []
  let scheduled = false

  function write<Rows> (run: () => Rows): Promise<Rows> {
    return new Promise<Rows>((resolve, reject) => {
      // `run` returns Rows and nothing else settles this write, so the queue may forget the type.
      queue.push({ run, resolve: resolve as Write['resolve'], reject, deadline: performance.now() + LONGEST_WAIT_MS })
      schedule()
    })
  }

  function schedule () {
    if (scheduled) return
    scheduled = true
    setImmediate(flush)
  }

  function flush () {
    scheduled = false
    const locked = runBatch()
    if (queue.length === 0) return
    if (!locked) return schedule()
    scheduled = true
    setTimeout(flush, PAUSE_WHEN_LOCKED_MS)
  }

  /** Returns whether the database was locked. */
  function runBatch (): boolean {
    try {
      begin.run()
    } catch (error) {
      if (isBusy(error)) {
        rejectOverdue(error)
        return true
      }
      rejectAll(queue.splice(0, MOST_PER_BATCH), error)
      return false
    }
    const batch = queue.splice(0, MOST_PER_BATCH)
    try {
      const settled = batch.map(attempt)
      commit.run()
      committed(batch.length)
      for (const settle of settled) settle()
    } catch (error) {
      // After some errors SQLite has rolled back itself.
      if (client.inTransaction) rollback.run()
      rejectAll(batch, error)
    }
    return false
  }

  function rejectOverdue (error: unknown) {
    const now = performance.now()
    const overdue = queue.filter((write) => write.deadline <= now)
    queue = queue.filter((write) => write.deadline > now)
    rejectAll(overdue, error)
  }

  /** Commits what is queued; what cannot be committed is rejected. */
  function close () {
    while (queue.length > 0) {
      if (runBatch()) rejectAll(queue.splice(0), new Error('closed while the database was locked'))
    }
  }

  return { write, close }
}

/** Runs one write inside the open transaction; returns how to answer it after the commit. */
function attempt ({ run, resolve, reject }: Write): () => void {
  try {
    const rows = run()
    return () => resolve(rows)
  } catch (error) {
    if (endsTheBatch(error)) throw error
    return () => reject(error)
  }
}

function rejectAll (writes: Write[], cause: unknown) {
  for (const write of writes) write.reject(new Unavailable(cause))
}

export function isBusy (error: unknown): boolean {
  return error instanceof Sqlite.SqliteError && error.code.startsWith('SQLITE_BUSY')
}

function endsTheBatch (error: unknown): boolean {
  return error instanceof Sqlite.SqliteError && !error.code.startsWith('SQLITE_CONSTRAINT')
}
