import { and, eq, gte, lt, lte, or, sql } from 'drizzle-orm'
import { p, set } from './statements.ts'
import type { Tables } from './tables.ts'

export interface Rotation {
  id: string
  generation: number
  /** The secret that signed the token, and the one that is to sign the next. */
  keyId: string
  primaryKeyId: string
  /** Of the client. */
  ip: string
  now: number
  idleExpiresAt: number
  /** The token last used can be recovered when that was before `usedBefore` and not before `usedSince`. */
  usedBefore: number
  usedSince: number
  /** Whether a generation newer than the row's is taken. */
  fastForward: 0 | 1
}

/**
 * The refresh table as one UPDATE (docs/sessions.md): `g` is the token's generation.
 * `first` ≤ g ≤ `generation` rotates; g > `generation` fast-forwards; g = `previous` after its grace adds a sibling.
 */
export function transition (sessions: Tables['sessions']) {
  const g = set('generation')
  const recovers = sql`${sessions.previous} = ${g}`
  const behind = sql`${sessions.generation} < ${g}`
  const keyed = (column: typeof sessions.keyId | typeof sessions.previousKeyId) =>
    or(eq(column, p('keyId')), sql`${p('keyId')} = ${p('primaryKeyId')}`)
  const unused = and(
    lte(sessions.first, p('generation')), or(gte(sessions.generation, p('generation')), sql`${p('fastForward')} = 1`), keyed(sessions.keyId))
  const lost = and(recovers, lt(sessions.rotatedAt, p('usedBefore')), gte(sessions.rotatedAt, p('usedSince')), keyed(sessions.previousKeyId))
  const following = sql`case when ${behind} then ${g} else ${sessions.generation} end + 1`
  return {
    usable: or(unused, lost),
    next: {
      generation: following,
      first: sql`case when ${recovers} then ${sessions.first} else ${following} end`,
      previous: sql`case when ${recovers} then ${sessions.previous} else ${g} end`,
      // Siblings must all be signed by the secret that the row names, so recovery does not move the row.
      keyId: sql`case when ${recovers} then ${sessions.keyId} else ${p('primaryKeyId')} end`,
      previousKeyId: sql`case when ${recovers} then ${sessions.previousKeyId} else ${p('keyId')} end`,
      rotatedAt: set('now'),
      ip: set('ip'),
      idleExpiresAt: set('idleExpiresAt')
    }
  }
}
