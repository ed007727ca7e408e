import { checkClaims } from '../claims.ts'
import type { User } from '../db/open.ts'
import { readForeignHash } from '../foreign-hashes.ts'
import { emailFault, emailKey, usernameFault } from '../identity.ts'
import { newUser } from '../users.ts'

/** An account as another system describes it. */
export interface Incoming {
  username: string
  email: string | null
  emailVerified: boolean
  passwordHash: string
  externalId: string | null
  disabled: boolean
  claims: object
  /** RFC 3339; without an offset it is UTC. */
  createdAt: string | null
  lastLoginAt: string | null
}

/** The account as it will be, with what it had to leave behind; or every reason why there will be none. */
type Mapped = { user: User, without?: string } | { reasons: string[] }

/** Bytes: the id is in each access token, whose length is limited. */
const LONGEST_ID = 255
/** No password gives it. */
const UNUSABLE = '!'

const nameFaults = {
  format: 'username: letters, digits and . + - _ alone',
  not_own: 'username: with an @ it has to be the account\'s own e-mail address',
  too_short: 'username: it is empty',
  too_long: 'username: at most 150 characters'
} as const

/** The account that an import makes; `now` in milliseconds. */
export function accountOf (incoming: Incoming, now: number): Mapped {
  const { email, without } = addressOf(incoming)
  const hash = readForeignHash(incoming.passwordHash)
  const claims = checkClaims(incoming.claims)
  const [createdAt, lastLoginAt] = [moment(incoming.createdAt), moment(incoming.lastLoginAt)]

  const reasons = [
    nameReason(incoming.username, email),
    hash.outcome === 'refused' && hash.reason,
    claims.outcome === 'invalid' && `claims: ${claims.reason}`,
    !isId(incoming.externalId) && `id: 1 to ${LONGEST_ID} bytes`,
    (Number.isNaN(createdAt) || Number.isNaN(lastLoginAt)) && 'a time: expected one such as 2026-01-31T12:00:00Z'
  ].filter((reason) => typeof reason === 'string')
  if (reasons.length > 0 || claims.outcome === 'invalid') return { reasons }

  const passwordHash = hash.outcome === 'known' ? incoming.passwordHash : UNUSABLE
  const user: User = {
    ...newUser({ username: incoming.username, email, passwordHash, claims: claims.claims }, now),
    emailVerified: incoming.emailVerified && email !== undefined,
    externalId: incoming.externalId,
    disabledAt: incoming.disabled ? now : null,
    createdAt: createdAt ?? now,
    lastLoginAt
  }
  return without === undefined ? { user } : { user, without }
}

function nameReason (username: string, email: string | undefined): string | undefined {
  const fault = usernameFault(username, email)
  return fault && nameFaults[fault === 'format' && username.includes('@') ? 'not_own' : fault]
}

/**
 * An empty address is none. A name that is an address is the account's own, where it has no other.
 * What is no address by our rules could not be logged in with: the account comes without.
 */
function addressOf ({ username, email }: Incoming): { email?: string, without?: string } {
  if (email === null || email === '') return emailKey(username) === undefined ? {} : { email: username.normalize('NFKC') }
  return emailFault(email) === undefined ? { email } : { without: 'its e-mail address is none by the rules here' }
}

function isId (id: string | null): boolean {
  return id === null || (id !== '' && Buffer.byteLength(id) <= LONGEST_ID && id.isWellFormed() && !/\p{Cc}/u.test(id))
}

/** NaN when it is no time since 1970. */
function moment (time: string | null): number | null {
  if (time === null) return null
  const [, date = '', clock = '', offset = 'Z'] = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(Z|[+-]\d\d:\d\d)?$/.exec(time) ?? []
  const milliseconds = Date.parse(`${date}T${clock}${offset}`)
  return milliseconds >= 0 ? milliseconds : NaN
}
