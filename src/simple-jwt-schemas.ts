import { type TSchema, Type } from '@sinclair/typebox'
import { STATUS_CODES } from 'node:http'
import type { Code } from './errors.ts'
import { problemResponses, ref } from './schemas.ts'

export const SIMPLE_JWT = 'Simple JWT'

/** The body limit is 16 KiB, so no string in a body is longer. */
const LONGEST = 16_384
const Token = (description: string) => Type.String({ pattern: '^[\\w-]+\\.[\\w-]+\\.[\\w-]+$', maxLength: 4_096, description })
const Given = (description: string, examples: string[]) => Type.String({ maxLength: LONGEST, description, examples })
/** More fields may be sent; they are passed over. */
const body = { additionalProperties: true }

export const Credentials = Type.Object({
  username: Given('The username, or the e-mail address.', ['ada']),
  password: Type.String({ format: 'password', maxLength: LONGEST, description: 'The password, to the last space.', examples: ['correct horse battery staple'] })
}, { $id: 'SimpleJwtCredentials', ...body })

export const Refresh = Type.Object({
  refresh: Given('The refresh token that was received last.', ['eyJhbGciOiJIUzI1NiIs…'])
}, { $id: 'SimpleJwtRefresh', ...body })

export const AnyToken = Type.Object({
  token: Given('An access token or a refresh token.', ['eyJhbGciOiJFUzI1NiIs…'])
}, { $id: 'SimpleJwtToken', ...body })

export const Pair = Type.Object({
  refresh: Token('Keep it secret. Each refresh gives a new one; use the newest.'),
  access: Token('A JWT (RFC 9068), to be sent as `Authorization: Bearer …`.')
}, { $id: 'SimpleJwtPair', additionalProperties: false })

export const Refreshed = Type.Object({
  access: Token('A fresh access token.'),
  refresh: Token('The next refresh token.')
}, { $id: 'SimpleJwtRefreshed', additionalProperties: false })

export const Nothing = Type.Object({}, { $id: 'SimpleJwtNothing', additionalProperties: false })

/** A sentence of ours, never of the client's. */
const Sentence = Type.String({ pattern: '^\\S.*\\S$', maxLength: 256 })

const Fault = Type.Object({
  detail: Sentence,
  code: Type.Optional(Type.Literal('token_not_valid', { description: 'Of a token that is refused.' }))
}, { $id: 'SimpleJwtFault', additionalProperties: false })

const FieldFaults = Type.Object(
  Object.fromEntries(['username', 'password', 'refresh', 'token', 'non_field_errors'].map((name) => [name, Type.Optional(Type.Array(Sentence, { maxItems: 1 }))])),
  { $id: 'SimpleJwtFieldFaults', additionalProperties: false, description: 'What is wrong, by field; `non_field_errors` is of the whole.' }
)

/** Everything with an `$id`, so that the contract shows it as a named component. */
export const simpleJwtComponents: TSchema[] = [Credentials, Refresh, AnyToken, Pair, Refreshed, Nothing, Fault, FieldFaults]

const challenge = { 'WWW-Authenticate': { type: 'string', const: 'Bearer realm="api"', description: 'RFC 6750 §3.' } }

/** Node's parser refuses these before there is a route; their form is that of any other operation. */
const beforeAnyRoute = ['408', '431']

/** Error responses for the contract, one per status, in the words of Django REST Framework. */
export function faultResponses (expected: Code[]) {
  const native = Object.entries(problemResponses(expected))
  return Object.fromEntries(native.map(([status, response]) => [status, beforeAnyRoute.includes(status)
    ? response
    : {
        description: STATUS_CODES[status],
        headers: { ...response.headers, ...(status === '401' && challenge) },
        content: { 'application/json': { schema: status === '400' ? Type.Union([ref(FieldFaults), ref(Fault)]) : ref(Fault) }, ...(status === '400' && response.content) }
      }]))
}
