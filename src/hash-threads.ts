import { Piscina } from 'piscina'
import type { Done, Task } from './hash-worker.js'
import { Unavailable } from './unavailable.ts'

/**
 * Worker threads that hash, started at first use.
 * @param waited is told how long each task waited for a thread.
 */
export function createHashThreads (most: number, waited: (ms: number) => void) {
  let pool: Piscina | undefined
  let closed = false

  async function run<T extends string | boolean> (task: Task): Promise<Done<T>> {
    // Piscina would start a thread anew, and nobody would end it.
    if (closed) throw new Error('the hashing threads have been stopped')
    const used = pool ??= startPool()
    const asked = performance.now()
    const done: Done<T> = await used.run(task).catch(async (error: unknown) => {
      if (used.threads.length === 0) await discard(used)
      throw new Unavailable(error, 'a hashing thread')
    })
    waited(performance.now() - asked - done.took)
    return done
  }

  function startPool (): Piscina {
    const started = new Piscina({
      filename: new URL('./hash-worker.js', import.meta.url).href,
      // None of the loaders that this process may have been started with.
      execArgv: [],
      maxThreads: most,
      minThreads: 1,
      // A thread takes longer to start than a password to hash: one that has started stays.
      idleTimeout: Infinity
    })
    return started.on('error', () => discard(started))
  }

  /**
   * A thread that dies at work fails its own task. For those that cannot even start Piscina tries no other,
   * and what has been asked of it would wait for ever: it fails now, and the next task begins anew.
   */
  async function discard (failed: Piscina) {
    // Ended twice, it would start a thread again.
    if (pool !== failed) return
    pool = undefined
    await failed.destroy()
  }

  async function close () {
    closed = true
    await pool?.destroy()
  }

  return { run, close }
}
