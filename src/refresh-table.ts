import type { Config } from './config.ts'
import type { Session } from './db/open.ts'

export type Windows = Pick<Config, 'refreshGrace' | 'refreshRecovery'>

/**
 * What a refresh token of generation g means to its session:
 * - `ended`: the session is over, or this token's secret is not the one that the row names
 * - `rotate`: an unused successor of the token last used; it becomes the one last used
 * - `replay`: the token last used, again within the grace: a retry or a second tab; the same answer
 * - `recover`: the token last used, later: its answer was lost; a sibling is added beside the lost one
 * - `fast_forward`: newer than the row: the database was restored from a backup
 * - `reuse`: older, or a sibling that lost: somebody keeps a copy
 */
export type Step = 'ended' | 'rotate' | 'replay' | 'recover' | 'fast_forward' | 'reuse'

export type State = Pick<Session, 'generation' | 'previous' | 'first' | 'rotatedAt' | 'idleExpiresAt' | 'expiresAt' | 'revokedAt' | 'keyId' | 'previousKeyId'> &
  { allowed: boolean | number | null }

export interface Presented {
  generation: number
  keyId: string
}

/**
 * The refresh table (docs/sessions.md). `src/db/rotation.ts` says the same in SQL; a test compares the two.
 * @param state the row, and whether its user lets the session go on
 * @param primaryKeyId a token under the primary secret is always good; one under an earlier secret only where the row names it
 */
export function stepFor (state: State, token: Presented, { now, primaryKeyId, refreshGrace, refreshRecovery }: Windows & { now: number, primaryKeyId: string }): Step {
  const { generation: g, keyId } = token
  const signedBy = (named: string | null) => keyId === named || keyId === primaryKeyId
  const age = now - state.rotatedAt

  if (state.revokedAt !== null || !state.allowed) return 'ended'
  if (now >= state.idleExpiresAt || now >= state.expiresAt) return 'ended'
  if (g >= state.first) {
    if (!signedBy(state.keyId)) return 'ended'
    return g > state.generation ? 'fast_forward' : 'rotate'
  }
  if (g !== state.previous) return 'reuse'
  if (!signedBy(state.previousKeyId)) return 'ended'
  if (refreshGrace > 0 && age <= refreshGrace) return 'replay'
  return refreshRecovery > 0 && age <= refreshRecovery ? 'recover' : 'reuse'
}
