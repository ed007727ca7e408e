import { Redis } from 'ioredis'

/** A request waits no longer for Redis than that (ms): what it counts is not worth more. */
const LONGEST_COMMAND = 250
const LONGEST_CONNECT = 1_000
const LONGEST_BEFORE_RETRY = 1_000
/** After a failure the local counters hold for so long, so that not every request tries in vain (ms). */
const PAUSE = 1_000

/** Connects in the background, and again whenever the connection is lost; a command meanwhile fails at once. */
export function connectRedis (url: string): Redis {
  const redis = new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    connectTimeout: LONGEST_CONNECT,
    commandTimeout: LONGEST_COMMAND,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(times * 100, LONGEST_BEFORE_RETRY)
  })
  // Each command tells of its failure itself.
  redis.on('error', () => {})
  return redis
}

/**
 * Counts with `shared`, and with `local` while that fails.
 * @param changed is told once when sharing ends, with the reason, and once when it is back.
 */
export function withFallback<Args extends unknown[], Result> (
  shared: (...args: Args) => Promise<Result>, local: (...args: Args) => Promise<Result>, changed: (error?: unknown) => void
): (...args: Args) => Promise<Result> {
  let sharing = true
  let pausedUntil = -Infinity

  return async (...args) => {
    if (performance.now() < pausedUntil) return await local(...args)
    try {
      const result = await shared(...args)
      if (!sharing) changed()
      sharing = true
      return result
    } catch (error) {
      pausedUntil = performance.now() + PAUSE
      if (sharing) changed(error)
      sharing = false
      return await local(...args)
    }
  }
}
