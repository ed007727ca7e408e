import type { Config } from './config.ts'
import type { SigningKey } from './db/open.ts'

/** How long verifiers may keep the JWKS. */
export const JWKS_MAX_AGE = 300_000
/** Added where clocks or caches may be late. */
const MARGIN = 60_000
/** A new key is published so long before it signs, so that every verifier has seen it. */
export const ANNOUNCEMENT = JWKS_MAX_AGE + MARGIN

type Life = Pick<SigningKey, 'activeFrom' | 'revokedAt'>

/** @returns the key that signs at `now`: the newest whose time has come. `keys` are in the order of `activeFrom`. */
export function signerAt<K extends Life> (keys: readonly K[], now: number): K | undefined {
  return keys.findLast((key) => key.revokedAt === null && key.activeFrom <= now)
}

/**
 * @returns the keys that the JWKS shows at `now` and that verify: those to come, the one that signs,
 * and past ones until every token they signed has expired, by our leeway too (ms).
 */
export function publishedAt<K extends Life> (keys: readonly K[], now: number, { accessTtl, leeway }: Pick<Config, 'accessTtl' | 'leeway'>): K[] {
  const good = keys.filter((key) => key.revokedAt === null)
  return good.filter((_, i) => {
    const successor = good[i + 1]
    return successor === undefined || now <= successor.activeFrom + accessTtl + leeway + MARGIN
  })
}
