import { createRequire } from 'node:module'
import { canonical } from './identity.ts'

type PasswordFault = 'too_short' | 'too_long' | 'format' | 'common_password' | 'resembles_user'

const LONGEST = 1024
export const passwordLimits = (least: number) => ({ too_short: least, too_long: LONGEST })

let common: ReadonlySet<string> | undefined

/** The 49,000 commonest of leaked passwords (zxcvbn-ts, MIT), in lower case; read at first use, for it takes longer than all else of the start. */
function commonPasswords (): ReadonlySet<string> {
  if (common === undefined) {
    // A `require` has no types of its own; these are the package's.
    const { dictionary } = createRequire(import.meta.url)('@zxcvbn-ts/language-common') as typeof import('@zxcvbn-ts/language-common')
    common = new Set(dictionary['passwords-common'])
  }
  return common
}

export interface Owner {
  username: string
  email?: string | null | undefined
}

/**
 * @param least length in code points after NFC, as the longest is.
 * @returns why a new password is refused, or undefined. Nothing else is asked of it: no composition rules (NIST SP 800-63B-4 §3.1.1.2).
 */
export function passwordFault (password: string, least: number): PasswordFault | undefined {
  // A lone surrogate has no UTF-8 form: all of them would hash alike.
  if (!password.isWellFormed()) return 'format'
  const length = [...password.normalize('NFC')].length
  if (length < least) return 'too_short'
  if (length > LONGEST) return 'too_long'
  return commonPasswords().has(password.toLowerCase()) ? 'common_password' : undefined
}

/** Whether a password is the user's own name, address, or the address's local part, whatever the case. */
export function resemblesUser (password: string, { username, email }: Owner): boolean {
  const address = canonical(email ?? '')
  const [, localPart] = /^(.+)@/.exec(address) ?? []
  return [canonical(username), address, localPart].some((name) => name && name === canonical(password))
}
