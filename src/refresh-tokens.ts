import { headerOf } from './jwt-form.ts'
import type { Session } from './db/open.ts'

/** Signs and verifies under one secret; @fastify/jwt makes one for each (`plugins/jwt.ts`). */
interface RefreshJwt {
  sign: (claims: RefreshClaims) => string
  /** @throws for any token that is not ours. Expiry is left to the caller. */
  verify: (token: string) => RefreshClaims
}

export interface RefreshClaims {
  iss: string
  sub: string
  sid: string
  gen: number
  jti: string
  token_type: 'refresh'
  iat: number
  exp: number
}

export interface RefreshToken {
  token: string
  /** Seconds since the epoch. */
  exp: number
}

/** A token that one of our secrets has signed; `expired` says nothing of its session. */
export interface PresentedToken {
  keyId: string
  sessionId: string
  generation: number
  /** Seconds since the epoch. */
  exp: number
  expired: boolean
}

type Row = Pick<Session, 'id' | 'userId' | 'generation' | 'rotatedAt' | 'idleExpiresAt' | 'expiresAt' | 'keyId'>

export type RefreshTokens = ReturnType<typeof createRefreshTokens>

/** @param jwts by the id of their secret. */
export function createRefreshTokens (jwts: ReadonlyMap<string, RefreshJwt>, issuer: string) {
  /** The header segment is constant per secret, so it chooses the secret and nothing in it is parsed. */
  const byHeader = new Map([...jwts].map(([id, jwt]) => [headerSegment(jwt), { id, jwt }]))

  /**
   * The token of the row's newest generation. It follows from the row alone, so one generation always gives one token, byte for byte.
   * Undefined when the row's secret is configured no longer.
   */
  function issue (row: Row): RefreshToken | undefined {
    const exp = seconds(Math.min(row.idleExpiresAt, row.expiresAt))
    const token = jwts.get(row.keyId)?.sign({
      iss: issuer,
      sub: row.userId,
      sid: row.id,
      gen: row.generation,
      jti: `${row.id}.${row.generation}`,
      token_type: 'refresh',
      iat: seconds(row.rotatedAt),
      exp
    })
    return token === undefined ? undefined : { token, exp }
  }

  /** @returns what the token says when one of our secrets signed it. `iss` is not compared: the key is ours alone, and a public URL may change. */
  function verify (token: string, now: number): PresentedToken | undefined {
    const secret = byHeader.get(headerOf(token))
    if (secret === undefined) return undefined
    try {
      const { sid, gen, exp } = secret.jwt.verify(token)
      return { keyId: secret.id, sessionId: sid, generation: gen, exp, expired: exp * 1000 <= now }
    } catch {
      return undefined
    }
  }

  return { issue, verify }
}

function headerSegment (jwt: RefreshJwt): string | undefined {
  const claims: RefreshClaims = { iss: '', sub: '', sid: '', gen: 0, jti: '', token_type: 'refresh', iat: 0, exp: 0 }
  return headerOf(jwt.sign(claims))
}

function seconds (milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}
