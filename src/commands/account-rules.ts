import { parseClaims } from '../claims.ts'
import type { Config } from '../config.ts'
import { type FieldCode, fieldDetail, type Limits } from '../errors.ts'
import { emailFault, usernameFault, usernameLimits } from '../identity.ts'
import { type Owner, passwordFault, passwordLimits, resemblesUser } from '../password-policy.ts'
import { Refused, UsageError } from './terminal.ts'

/** @throws Refused for names that the service would refuse at a registration. */
export function checkNames ({ username, email }: { username: string, email: string | undefined }) {
  if (email !== undefined) checkEmail(email)
  refuse('username', usernameFault(username, email), usernameLimits)
}

/** @throws Refused */
export function checkEmail (email: string) {
  refuse('email', emailFault(email))
}

/** @throws Refused for a password that the service would refuse. */
export function checkPassword (password: string, owner: Owner, { passwordMinLength }: Pick<Config, 'passwordMinLength'>) {
  const fault = passwordFault(password, passwordMinLength) ?? (resemblesUser(password, owner) ? 'resembles_user' : undefined)
  refuse('password', fault, passwordLimits(passwordMinLength))
}

function refuse (field: string, fault: FieldCode | undefined, limits: Limits = {}) {
  if (fault !== undefined) throw new Refused(`${field}: ${fieldDetail(fault, limits[fault])} (${fault})`)
}

/** @throws UsageError */
export function claimsOf (json: string): string {
  const parsed = parseClaims(json)
  if (parsed.outcome === 'invalid') throw new UsageError(`claims: ${parsed.reason}`)
  return parsed.claims
}
