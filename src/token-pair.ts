import type { Static } from '@sinclair/typebox'
import type { TokenPair } from './schemas.ts'
import type { Tokens } from './session-tokens.ts'

/** A pair of tokens as it is sent (RFC 6749 §5.1). */
export function presentTokens ({ access, refresh, refreshExpiresIn }: Tokens): Required<Static<typeof TokenPair>> {
  return {
    access_token: access.token,
    token_type: 'Bearer',
    expires_in: access.expiresIn,
    refresh_token: refresh.token,
    refresh_expires_in: refreshExpiresIn
  }
}
