import type { Config } from './config.ts'
import type { RotatedSession, Rotation, Session, Store } from './db/open.ts'
import type { Step } from './refresh-table.ts'
import type { PresentedToken, RefreshToken, RefreshTokens } from './refresh-tokens.ts'
import { createJudgement, type JudgementDependencies } from './session-judgement.ts'
import type { SessionTokens, Tokens } from './session-tokens.ts'
import { Unavailable } from './unavailable.ts'

export interface RefreshDependencies extends JudgementDependencies {
  store: Store
  refreshTokens: RefreshTokens
  settings: JudgementDependencies['settings'] & Pick<Config, 'sessionIdle' | 'refreshRotation'>
  now: () => number
}

/**
 * What became of a refresh token; `elsewhere` when it came from another address than the last one that gave a new token.
 * `keep`: without rotation the token stays what it is.
 */
export type Refreshed =
  | { outcome: 'refreshed', step: Exclude<Step, 'ended' | 'reuse'> | 'keep', session: RotatedSession, tokens: Tokens, elsewhere: boolean }
  | { outcome: 'refused', step: 'unreadable' | 'ended' }
  | { outcome: 'refused', step: 'reuse', session: Session }

type Success = Extract<Refreshed, { outcome: 'refreshed' }>

interface Arrival {
  time: number
  ip: string
}

/** What a refresh token gets, by the refresh table (docs/sessions.md). */
export function createRefresh ({ store, refreshTokens, primaryKeyId, settings, now }: RefreshDependencies, tokensFor: SessionTokens) {
  const judge = createJudgement({ store, primaryKeyId, settings })

  async function refresh (token: string, ip: string): Promise<Refreshed> {
    const time = now()
    const presented = refreshTokens.verify(token, time)
    if (presented === undefined || presented.expired) return { outcome: 'refused', step: 'unreadable' }
    if (settings.refreshRotation) return await rotate(presented, { time, ip })
    return await keep(presented, { time, ip }, { token, exp: presented.exp })
  }

  /**
   * One step of the table. The usual case is one UPDATE; when no row matched, the row is read and judged once,
   * and a step that only became possible meanwhile is tried once more.
   */
  async function rotate (presented: PresentedToken, { time, ip }: Arrival): Promise<Refreshed> {
    let fastForward = false
    for (let attempt = 1; attempt <= 2; attempt++) {
      const rotated = await store.rotateSession(rotation(presented, { time, ip, fastForward }))
      if (rotated) return succeed(fastForward ? 'fast_forward' : stepTaken(rotated), rotated)

      const { step, state } = await judge(presented, time)
      if (state === undefined) return { outcome: 'refused', step: 'ended' }
      if (step === 'replay') return succeed(step, state, { elsewhere: state.ip !== ip })
      if (step === 'reuse') return await endReused(state, time)
      fastForward = step === 'fast_forward'
    }
    throw new Unavailable('the session changed under two attempts')
  }

  /**
   * Without rotation: one reading. The same cases are refused; who has a good token keeps it, and nothing is written.
   * The token last used, from before rotation was switched off, gets its successor, which lasts.
   */
  async function keep (presented: PresentedToken, { time, ip }: Arrival, refresh: RefreshToken): Promise<Refreshed> {
    const { step, state } = await judge(presented, time)
    if (state === undefined) return { outcome: 'refused', step: 'ended' }
    if (step === 'reuse') return await endReused(state, time)
    if (step === 'replay' || step === 'recover') return succeed(step, state, { elsewhere: step === 'replay' && state.ip !== ip })
    return succeed('keep', state, { refresh })
  }

  async function endReused (session: Session, time: number): Promise<Refreshed> {
    await store.revokeSession(session.id, time, 'reuse_detected')
    return { outcome: 'refused', step: 'reuse', session }
  }

  function rotation ({ sessionId, generation, keyId }: PresentedToken, { time, ip, fastForward }: Arrival & { fastForward: boolean }): Rotation {
    const { sessionIdle, refreshGrace, refreshRecovery } = settings
    return {
      id: sessionId,
      generation,
      keyId,
      primaryKeyId,
      ip,
      now: time,
      idleExpiresAt: time + sessionIdle,
      // A window of 0 ms is none: not even this millisecond is in it, nor one ahead of our clock.
      usedBefore: refreshGrace > 0 ? time - refreshGrace : Number.MAX_SAFE_INTEGER,
      usedSince: refreshRecovery > 0 ? time - refreshRecovery : Number.MAX_SAFE_INTEGER,
      fastForward: fastForward ? 1 : 0
    }
  }

  function succeed (step: Success['step'], row: RotatedSession, { elsewhere = false, refresh }: { elsewhere?: boolean, refresh?: RefreshToken } = {}): Refreshed {
    const tokens = tokensFor(row, refresh)
    return tokens ? { outcome: 'refreshed', step, session: row, tokens, elsewhere } : { outcome: 'refused', step: 'ended' }
  }

  return refresh
}

/** Recovery leaves the lost sibling usable beside the new one. */
function stepTaken ({ first, generation }: RotatedSession): 'rotate' | 'recover' {
  return first < generation ? 'recover' : 'rotate'
}
