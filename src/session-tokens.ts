import type { Session, SessionState } from './db/open.ts'
import type { RefreshToken } from './refresh-tokens.ts'
import type { Dependencies, Tokens } from './sessions.ts'

/** A session's row and what its user adds to an access token. */
export type TokenRow = Session & Pick<SessionState, 'claims' | 'externalId'>

export type SessionTokens = ReturnType<typeof createSessionTokens>

export function createSessionTokens ({ accessTokens, refreshTokens, now }: Pick<Dependencies, 'accessTokens' | 'refreshTokens' | 'now'>) {
  /**
   * A fresh access token, and the row's newest refresh token unless the client keeps the one it has.
   * Undefined when the row's secret is configured no longer.
   */
  return function tokensFor (row: TokenRow, refresh: RefreshToken | undefined = refreshTokens.issue(row)): Tokens | undefined {
    if (refresh === undefined) return undefined
    const { id: sessionId, userId, expiresAt, claims, externalId } = row
    const access = accessTokens.issue({ userId, sessionId, expiresAt, claims, externalId })
    return { access, refresh, refreshExpiresIn: refresh.exp - Math.floor(now() / 1000) }
  }
}
