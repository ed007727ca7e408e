import { domainToASCII, domainToUnicode } from 'node:url'

/** Django's characters; a Unicode letter is a letter. */
const username = /^[\p{L}\p{M}\p{N}@.+_-]+$/u
const LONGEST_USERNAME = 150
export const usernameLimits = {
  too_long: LONGEST_USERNAME,
  format: 'Letters, digits and @ . + - _ only; one with an @ has to be the account\'s own e-mail address.'
}

/** RFC 5321 §4.1.2 dot-string with RFC 6531's letters; no quoted form. */
const localPart = /^[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+(?:\.[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+)*$/u
/** Nothing that the URL rules behind domainToASCII would drop or decode; U+3002 is a dot to them. */
const hostName = /^[\p{L}\p{M}\p{N}.\u3002-]+$/u
const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
/** RFC 5321 §4.5.3.1, in octets. */
const LONGEST_LOCAL_PART = 64
const LONGEST_EMAIL = 254

/** Letters and marks are among them, by which two names would look like one. Of a login nothing is asked: older accounts may have some. */
const invisible = /\p{Default_Ignorable_Code_Point}/u

type NameFault = 'format' | 'too_short' | 'too_long'

/**
 * The form in which names are compared: case and compatibility variants are one name.
 * Σ in lower case is ς or σ, as its neighbours are; they are one letter (CaseFolding.txt of Unicode).
 */
export function canonical (name: string): string {
  return name.normalize('NFKC').toLowerCase().replaceAll('ς', 'σ').normalize('NFKC')
}

/**
 * @param email the account's own address: the only name with an `@` it may take, so that nobody squats on another's.
 * @returns what is wrong with a new username, or undefined.
 */
export function usernameFault (name: string, email: string | undefined): NameFault | undefined {
  const form = name.normalize('NFKC')
  if (form === '') return 'too_short'
  if ([...form].length > LONGEST_USERNAME) return 'too_long'
  if (!username.test(form) || invisible.test(form) || !canonical(form).isWellFormed()) return 'format'
  if (form.includes('@') && (email === undefined || emailKey(form) === undefined || emailKey(form) !== emailKey(email))) return 'format'
  return undefined
}

/** @returns what is wrong with an e-mail address, or undefined. */
export function emailFault (email: string): NameFault | undefined {
  if (email === '') return 'too_short'
  if (Buffer.byteLength(email) > LONGEST_EMAIL) return 'too_long'
  return emailKey(email) === undefined || invisible.test(email) ? 'format' : undefined
}

/** @returns the form in which an address is compared, its domain in ASCII (RFC 5890); undefined when it is none. */
export function emailKey (email: string): string | undefined {
  const form = canonical(email)
  const at = form.lastIndexOf('@')
  const local = form.slice(0, at)
  const domain = hostName.test(form.slice(at + 1)) ? domainToASCII(form.slice(at + 1)) : ''
  if (at < 1 || !localPart.test(local) || !isHostName(domain)) return undefined
  const key = `${local}@${domain}`
  return Buffer.byteLength(local) > LONGEST_LOCAL_PART || Buffer.byteLength(key) > LONGEST_EMAIL ? undefined : key
}

/**
 * At least two labels, and the last is no number: neither `localhost` nor an address.
 * What Punycode stands for is no Punycode again; newer versions of Node let a label of it through that stands for nothing.
 */
function isHostName (domain: string): boolean {
  const decoded = domainToUnicode(domain).split('.')
  const labels = domain.split('.')
  return decoded.every((one) => !one.startsWith('xn--')) && labels.length > 1 && labels.every((one) => label.test(one)) && !/\.\d+$/.test(domain)
}

/** How to look up the name that somebody logs in with; undefined when no account can have it. */
export function loginKey (name: string): { email: string } | { username: string } | undefined {
  const key = canonical(name)
  if (key.includes('@')) {
    const email = emailKey(key)
    return email === undefined ? undefined : { email }
  }
  // Not by length: the canonical form of a name may be longer than the name.
  return username.test(key) ? { username: key } : undefined
}
