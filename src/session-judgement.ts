import type { SessionState, Store } from './db/open.ts'
import { type Step, stepFor, type Windows } from './refresh-table.ts'
import type { PresentedToken } from './refresh-tokens.ts'

export interface JudgementDependencies {
  store: Pick<Store, 'findSession'>
  /** Id of the master secret that signs new refresh tokens. */
  primaryKeyId: string
  settings: Windows
}

/** Reads the session of a refresh token, and tells which case of the refresh table it is (docs/sessions.md). Nothing is changed. */
export function createJudgement ({ store, primaryKeyId, settings }: JudgementDependencies) {
  /** Without a row where the session is over. `now` in milliseconds. */
  return async function judge (presented: PresentedToken, now: number): Promise<{ step: Step, state?: SessionState }> {
    const state = await store.findSession(presented.sessionId)
    const step = state === undefined ? 'ended' : stepFor(state, presented, { ...settings, now, primaryKeyId })
    return state === undefined || step === 'ended' ? { step } : { step, state }
  }
}
