import { Redis } from 'ioredis'

/** A request waits no longer for Redis than that (ms): what it counts is not worth more. */
const LONGEST_COMMAND = 250
const LONGEST_CONNECT = 1_000
const LONGEST_BEFORE_RETRY = 1_000
/** After a failure the local counters hold for so long, so that not every request tries in vain (ms). */
const PAUSE = 1_000

/**
 * Connects, and again whenever the connection is lost; a command meanwhile fails at once.
 * @returns also why nobody has answered, if so.
 */
export async function connectRedis (url: string): Promise<{ redis: Redis, fault: Error | undefined }> {
  const redis = new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    connectTimeout: LONGEST_CONNECT,
    commandTimeout: LONGEST_COMMAND,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(times * 100, LONGEST_BEFORE_RETRY)
  })
  let fault: Error | undefined
  // The message alone: with the command that logs in comes the password.
  redis.on('error', ({ message }: Error) => { fault = new Error(message) })
  // What is thrown says no more than that there is no connection.
  await redis.connect().catch(() => {})
  return { redis, fault }
}

/**
 * Counts with `shared`, and with `local` while that fails.
 * @param changed is told once when sharing ends, with the reason, and once when it is back.
 * @param fault why it cannot begin, if so
 */
export function withFallback<Args extends unknown[], Result> (
  shared: (...args: Args) => Promise<Result>, local: (...args: Args) => Promise<Result>, changed: (error?: unknown) => void, fault?: Error
): (...args: Args) => Promise<Result> {
  let sharing = fault === undefined
  if (!sharing) changed(fault)
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
