import { randomBytes } from 'node:crypto'
import { isUtf8 } from 'node:buffer'
import { validate as isUuid } from 'uuid'
import { type Config } from './config.ts'
import { LONGEST_ACCESS_TTL } from './config/settings.ts'
import { headerOf } from './jwt-form.ts'
import type { KeyRing } from './key-ring.ts'

type Settings = Pick<Config, 'publicUrl' | 'audience' | 'accessTtl' | 'leeway'>

/** The one client there is: this service (RFC 9068 §2.2 wants the claim). */
const CLIENT_ID = 'latchkey'
/** Tokens live up to so much less than the setting says, so that clients do not refresh in step. */
const JITTER = 0.1
/** An `iat` may be so far ahead of our clock (ms), or by LATCHKEY_LEEWAY where that is longer. */
const IAT_LEEWAY = 30_000

/** Whom a token is for, and what their operator adds to it. */
interface Subject {
  userId: string
  sessionId: string
  /** The session's absolute end (ms): no token outlives it. */
  expiresAt: number
  /** JSON object of custom claims. */
  claims: string
  externalId: string | null
}

export interface AccessToken {
  token: string
  /** Seconds. */
  expiresIn: number
}

/** What a good access token says. */
export interface AccessClaims {
  sub: string
  sid: string
}

type Verified = { outcome: 'valid', claims: AccessClaims } | { outcome: 'expired' } | { outcome: 'invalid' }

export type AccessTokens = ReturnType<typeof createAccessTokens>

const invalid: Verified = { outcome: 'invalid' }

/** Issues and verifies access tokens (RFC 9068 profile). `random` gives [0, 1). */
export function createAccessTokens (keys: KeyRing, settings: Settings, { now, random }: { now: () => number, random: () => number }) {
  /** @throws when no key signs yet, which cannot be after a start. */
  function issue ({ userId, sessionId, expiresAt, claims, externalId }: Subject): AccessToken {
    const signer = keys.signer()
    if (signer === undefined) throw new Error('no signing key is active')
    const iat = seconds(now())
    const lifetime = seconds(settings.accessTtl * (1 - JITTER * random()))
    const exp = Math.min(iat + lifetime, seconds(expiresAt))
    const token = signer.sign({
      ...JSON.parse(claims),
      ...(externalId === null ? {} : { user_id: externalId }),
      iss: settings.publicUrl,
      aud: settings.audience,
      sub: userId,
      client_id: CLIENT_ID,
      exp,
      iat,
      jti: randomBytes(16).toString('base64url'),
      sid: sessionId,
      token_type: 'access'
    })
    return { token, expiresIn: exp - iat }
  }

  /**
   * Checks form, signature and claims; whether the session is live is the caller's to ask.
   * The key is chosen by the whole header segment, which is constant per key: no header is ever parsed,
   * so no `alg`, `jwk`, `jku` or `crit` in it means anything (RFC 8725 §3.1, §3.10).
   */
  async function verify (token: string): Promise<Verified> {
    const header = headerOf(token)
    const key = header === undefined ? undefined : await keys.find(header)
    if (key === undefined) return invalid
    try {
      return judge(key.verify(token), token, { now: now(), leeway: settings.leeway })
    } catch {
      // fast-jwt throws for each of a dozen reasons; the answer is one.
      return invalid
    }
  }

  return { issue, verify }
}

/** What the library leaves open: types, times (which are ours to compare, on the one clock), bytes that are no UTF-8. */
function judge ({ sub, sid, jti, iat, exp, nbf = 0 }: Record<string, unknown>, token: string, { now, leeway }: { now: number, leeway: number }): Verified {
  const strings = isUuid(sub) && isUuid(sid) && typeof jti === 'string'
  const times = [exp, iat, nbf].every(Number.isFinite)
  const payload = Buffer.from(token.slice(token.indexOf('.') + 1, token.lastIndexOf('.')), 'base64url')
  if (!strings || !times || !isUtf8(payload)) return invalid
  const latest = now + Math.max(IAT_LEEWAY, leeway)
  if (Number(nbf) * 1000 > now + leeway || Number(iat) * 1000 > latest || Number(exp) * 1000 > latest + LONGEST_ACCESS_TTL) return invalid
  // RFC 7519 §4.1.4: not on or after. Our own clock set it, so that there need be no leeway.
  return Number(exp) * 1000 + leeway <= now ? { outcome: 'expired' } : { outcome: 'valid', claims: { sub: String(sub), sid: String(sid) } }
}

function seconds (milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}
