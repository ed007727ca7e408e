/** The operations that have a limit of their own; everything else shares `default`. */
export const limitNames = ['default', 'register', 'login', 'refresh', 'password'] as const

export type LimitName = (typeof limitNames)[number]

export interface Limit {
  /** So many requests from one address block … */
  max: number
  /** … in so many milliseconds. */
  window: number
}

export type RateLimits = Record<LimitName, Limit>

/** Of more addresses than that, one may be told twice. */
const MOST_REMEMBERED = 10_000

/**
 * Tells the first excess or refusal in each window: an event for each request of a flood would be a flood of its own.
 * @param most of more keys than that, one may be told twice.
 */
export function createFirsts (most = MOST_REMEMBERED) {
  const until = new Map<string, number>()

  /** @param left milliseconds of the window that `key` is in. */
  return function isFirst (key: string, left: number, now: number): boolean {
    if ((until.get(key) ?? now) > now) return false
    if (until.size >= most) until.clear()
    until.set(key, now + left)
    return true
  }
}
