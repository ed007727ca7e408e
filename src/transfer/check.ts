import { parseClaims } from '../claims.ts'
import type { SigningKey, User } from '../db/open.ts'
import { emailKey, loginKey } from '../identity.ts'
import { algorithmOf, publicPem, secretOf, unwrap } from '../keys.ts'
import type { Secrets } from '../secrets.ts'
import type { Row } from './format.ts'

/** RFC 3339 writes no later time. A Date takes later ones, so that a lifetime may be added. */
const LAST_TIME = Date.parse('9999-12-31T23:59:59.999Z')

/**
 * What is stored is believed by everything that reads it, so a file is not.
 * @returns what is wrong with a row that has the form of one, or undefined.
 */
export function faultOf (row: Row, secrets: Secrets): string | undefined {
  if (!Object.values(row).flatMap((one) => Object.values(one)).every(isStorable)) return 'a number is out of range, or a text has a NUL in it'
  if ('user' in row) return userFault(row.user)
  return 'signing_key' in row ? keyFault(row.signing_key, secrets) : undefined
}

/** No number of a row may be more than a time may be. PostgreSQL takes no NUL. */
function isStorable (value: unknown): boolean {
  if (typeof value === 'number') return value >= 0 && value <= LAST_TIME
  return typeof value !== 'string' || !value.includes('\0')
}

/** By the rules of a login: those of a registration may have been others when the account was made. */
function userFault (user: User): string | undefined {
  const names = [user.username, user.usernameKey].every((name) => loginKey(name) !== undefined)
  const addresses = [user.email, user.emailKey].every((address) => address === null || emailKey(address) !== undefined)
  if (!names || !addresses) return 'no account can have this name or this address'
  const claims = parseClaims(user.claims)
  return claims.outcome === 'invalid' ? `claims: ${claims.reason}` : undefined
}

/** What is wrong with a key may be why it was revoked; it is of no use any more. */
function keyFault (key: SigningKey, secrets: Secrets): string | undefined {
  if (key.revokedAt !== null) return undefined
  try {
    publicPem(key)
    algorithmOf(key)
    unwrap(key, secretOf(key, secrets))
    return undefined
  } catch {
    return 'the signing key was altered, or is encrypted under a secret that is not configured'
  }
}
