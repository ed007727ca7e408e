interface CrossSiteHeaders {
  origin: string | undefined
  /** Sec-Fetch-Site. */
  site: string | undefined
}

/**
 * Whether a request that a cookie speaks for comes from one of our own pages. Every browser says at least one of the two
 * with a POST; what says neither is no browser, and has no business with the cookie.
 * @param allowed our own origin and those of LATCHKEY_CORS_ORIGINS.
 */
export function isOwnPage ({ origin, site }: CrossSiteHeaders, allowed: readonly string[]): boolean {
  // SameSite=Strict keeps the cookie from other sites, so an allowed origin there would only seem to work.
  if (site === 'cross-site') return false
  if (origin !== undefined) return allowed.includes(origin)
  return site === 'same-origin'
}
