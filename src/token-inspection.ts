import type { AccessTokens } from './access-tokens.ts'
import type { PresentedToken, RefreshTokens } from './refresh-tokens.ts'
import { createJudgement, type JudgementDependencies } from './session-judgement.ts'
import type { Sessions } from './sessions.ts'

interface Dependencies extends JudgementDependencies {
  sessions: Pick<Sessions, 'isLive'>
  accessTokens: Pick<AccessTokens, 'verify'>
  refreshTokens: Pick<RefreshTokens, 'verify'>
  now: () => number
}

/** `over`: it was good until its session ended, or until a newer one took its place. What is invalid is of no type that we know; it goes as `access`. */
export interface Inspected {
  type: 'access' | 'refresh'
  state: 'good' | 'over' | 'expired' | 'invalid'
}

export type InspectToken = (token: string) => Promise<Inspected>

/** Tells what a token of either type is good for. To ask uses nothing up, ends nothing and leaves no record. */
export function createTokenInspection ({ sessions, accessTokens, refreshTokens, now, ...ofJudgement }: Dependencies): InspectToken {
  const judge = createJudgement(ofJudgement)

  return async function inspect (token) {
    const presented = refreshTokens.verify(token, now())
    if (presented) return { type: 'refresh', state: await stateOf(presented) }
    const verified = await accessTokens.verify(token)
    if (verified.outcome !== 'valid') return { type: 'access', state: verified.outcome }
    return { type: 'access', state: await sessions.isLive(verified.claims) ? 'good' : 'over' }
  }

  async function stateOf (presented: PresentedToken): Promise<Inspected['state']> {
    if (presented.expired) return 'expired'
    const { step } = await judge(presented, now())
    return step === 'ended' || step === 'reuse' ? 'over' : 'good'
  }
}
