import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { catalogue, type Code } from './errors.ts'
import { problemNames, referTo } from './failure-examples.ts'
import { Problem, ref } from './schemas.ts'

const noStore = { 'Cache-Control': { type: 'string', const: 'no-store', description: 'Not to be kept by any cache.' } }
const challenge = { 'WWW-Authenticate': { type: 'string', enum: ['Bearer realm="latchkey"', 'Bearer realm="latchkey", error="invalid_token"'], description: 'RFC 6750 §3.' } }
const retryAfter = { 'Retry-After': { type: 'integer', format: 'int32', minimum: 1, maximum: 86_400, description: 'Seconds to wait.' } }

/** Of the answers that give a refresh token, or end its session: where it travels in the cookie (RFC 6265bis). */
export const refreshCookie = {
  ...noStore,
  'Set-Cookie': {
    type: 'string',
    pattern: '^(__Host-)?latchkey=[\\w.-]*;.*; HttpOnly;( Secure;)? SameSite=Strict$',
    maxLength: 4_500,
    description: 'The refresh token, where it travels in the cookie; empty after a logout, where LATCHKEY_COOKIES is on. Otherwise the header is absent.'
  }
}

/** A success with a body, a named component. */
export function answer<T extends TSchema> (schema: T, description: string, headers: object = noStore) {
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#`, description, headers })
}

/** A success without a body. */
export function noContent (description: string, headers: object = noStore) {
  return Type.Unsafe<undefined>({ type: 'null', description, headers })
}

/** The ways in which an operation can fail, beside those of every operation; `plugins/docs.ts` makes responses of them. */
export const problems = (...expected: Code[]) => expected

/** How any operation may fail; the first is bad HTTP. */
const anywhere: Code[] = ['invalid_request', 'request_timeout', 'headers_too_large', 'internal_error', 'unavailable']

/** Error responses for the contract, one per status. */
export function problemResponses (expected: Code[] = []) {
  const all: Code[] = [...new Set<Code>([...expected, ...anywhere])]
  const statuses = new Set(all.map((code) => catalogue[code].status))
  return Object.fromEntries([...statuses].map((status) => [status, {
    description: all.filter((code) => catalogue[code].status === status)
      .map((code) => `\`${code}\`: ${catalogue[code].detail}`).join('\n\n'),
    headers: { ...noStore, ...(status === 401 && challenge), ...((status === 429 || status === 503) && retryAfter) },
    content: { 'application/problem+json': { schema: ref(Problem), examples: referTo(problemNames(status, expected, all)) } }
  }]))
}

/** What can be wrong with any JSON body. */
export const bodyProblems: Code[] = ['invalid_request', 'invalid_json', 'body_too_large', 'unsupported_media_type']
/** What can be wrong with any access token. */
export const bearerProblems: Code[] = ['missing_token', 'invalid_token', 'token_expired']
export const bearer = [{ bearerAuth: [] }]
