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
