import type { Code } from './errors.ts'
import type { Inspected } from './token-inspection.ts'

/**
 * What Django REST Framework and Simple JWT say, letter for letter: clients written for them compare it (docs/django.md).
 * Nothing that was sent is in it, but for the method.
 */
export const CHALLENGE = 'Bearer realm="api"'

const BUSY = 'Service temporarily unavailable, try again later.'
const details: Partial<Record<Code, string>> = {
  invalid_json: 'JSON parse error - The body is not valid JSON in UTF-8.',
  invalid_credentials: 'No active account found with the given credentials',
  not_found: 'Not found.',
  body_too_large: 'The body is over 16 KiB.',
  unsupported_media_type: 'Unsupported media type in request.',
  internal_error: 'A server error occurred.',
  overloaded: BUSY,
  unavailable: BUSY
}

/** A problem of the catalogue in these words. `retryAfter` in seconds, as the header says. */
export function presentProblem (code: Code, { method, retryAfter }: { method: string, retryAfter: number }): { detail: string } {
  if (code === 'method_not_allowed') return { detail: `Method "${method}" not allowed.` }
  if (code === 'too_many_requests' || code === 'too_many_attempts') {
    return { detail: `Request was throttled. Expected available in ${retryAfter} second${retryAfter === 1 ? '' : 's'}.` }
  }
  return { detail: details[code] ?? 'Malformed request.' }
}

/** Why a token is refused: the 401 of every call that takes one. */
export function presentRefusal ({ type, state }: Inspected): { detail: string, code: 'token_not_valid' } {
  return { detail: refusal(type, state), code: 'token_not_valid' }
}

/** Simple JWT keeps a list of tokens that are good no longer; here it is their session that has ended. */
const BLACKLISTED = 'Token is blacklisted'

function refusal (type: Inspected['type'], state: Inspected['state']): string {
  if (state === 'invalid') return 'Token is invalid'
  if (state === 'expired') return 'Token is expired'
  return type === 'refresh' ? BLACKLISTED : 'Token has wrong type'
}

/** What is wrong with each field, or with the body as a whole. */
export type FieldErrors = Record<string, string[]>

export const blacklisted: FieldErrors = { non_field_errors: [BLACKLISTED] }

type Read<Name extends string> = { outcome: 'read', fields: Record<Name, string> } | { outcome: 'refused', errors: FieldErrors }

/** Reads text fields as a serializer of Django REST Framework does: numbers are text, and what nobody asked for is passed over. */
export function readFields<Name extends string> (body: unknown, names: readonly Name[]): Read<Name> {
  const fault = bodyFault(body)
  if (fault !== undefined) return { outcome: 'refused', errors: { non_field_errors: [fault] } }
  const found = names.map((name) => [name, readField(name, Object(body)[name])] as const)
  const errors = found.flatMap(([name, { fault }]) => fault === undefined ? [] : [[name, [fault]]])
  // One entry for each name.
  const fields = Object.fromEntries(found.map(([name, { text }]) => [name, text])) as Record<Name, string>
  return errors.length > 0 ? { outcome: 'refused', errors: Object.fromEntries(errors) } : { outcome: 'read', fields }
}

/** A request without a body has no field. */
function bodyFault (body: unknown): string | undefined {
  if (body === null) return 'No data provided'
  const type = pythonType(body)
  return type === undefined ? undefined : `Invalid data. Expected a dictionary, but got ${type}.`
}

function pythonType (value: unknown): string | undefined {
  if (Array.isArray(value)) return 'list'
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float'
  if (typeof value === 'string') return 'str'
  return typeof value === 'boolean' ? 'bool' : undefined
}

function readField (name: string, value: unknown): { text: string, fault: string | undefined } {
  if (typeof value !== 'string' && typeof value !== 'number') return { text: '', fault: missing(value) }
  // A password is what was typed, to the last space.
  const text = name === 'password' ? String(value) : String(value).trim()
  return { text, fault: textFault(text) }
}

function missing (value: unknown): string {
  if (value === undefined) return 'This field is required.'
  return value === null ? 'This field may not be null.' : 'Not a valid string.'
}

function textFault (text: string): string | undefined {
  if (text === '') return 'This field may not be blank.'
  if (text.includes('\0')) return 'Null characters are not allowed.'
  const surrogate = /\p{Surrogate}/u.exec(text)?.[0].charCodeAt(0)
  return surrogate === undefined ? undefined : `Surrogate characters are not allowed: U+${surrogate.toString(16).toUpperCase()}.`
}
