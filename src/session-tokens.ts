import type { AccessToken, AccessTokens } from './access-tokens.ts'
import type { RotatedSession } from './db/open.ts'
import type { RefreshToken, RefreshTokens } from './refresh-tokens.ts'

export interface TokenDependencies {
  accessTokens: AccessTokens
  refreshTokens: RefreshTokens
  now: () => number
}

export interface Tokens {
  access: AccessToken
  refresh: RefreshToken
  /** Seconds for which the refresh token is good. */
  refreshExpiresIn: number
}

export type SessionTokens = ReturnType<typeof createSessionTokens>

export function createSessionTokens ({ accessTokens, refreshTokens, now }: TokenDependencies) {
  /**
   * A fresh access token, and the row's newest refresh token unless the client keeps the one it has.
   * Undefined when the row's secret is configured no longer.
   */
  return function tokensFor (row: RotatedSession, refresh: RefreshToken | undefined = refreshTokens.issue(row)): Tokens | undefined {
    if (refresh === undefined) return undefined
    const { id: sessionId, userId, expiresAt, claims, externalId } = row
    const access = accessTokens.issue({ userId, sessionId, expiresAt, claims, externalId })
    return { access, refresh, refreshExpiresIn: refresh.exp - Math.floor(now() / 1000) }
  }
}
