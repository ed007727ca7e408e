import { type TSchema, Type } from '@sinclair/typebox'
import { STATUS_CODES } from 'node:http'
import type { Code } from './errors.ts'
import { referTo } from './failure-examples.ts'
import { problemResponses } from './responses.ts'
import * as example from './schema-examples.ts'
import { BODY_LIMIT, ref, Sentence, Token } from './schemas.ts'
import { faultName, fieldFaults, invalidJson, refusal } from './simple-jwt-examples.ts'

export const SIMPLE_JWT = 'Simple JWT'

const Given = (description: string) => Type.String({ maxLength: BODY_LIMIT, description })
/** More fields may be sent; they are passed over. */
const body = { additionalProperties: true }

export const Credentials = Type.Object({
  username: Given('The username, or the e-mail address.'),
  password: Type.String({ format: 'password', maxLength: BODY_LIMIT, description: 'The password, to the last space.' })
}, { $id: 'SimpleJwtCredentials', ...body, examples: [{ username: 'ada', password: example.password }] })

export const Refresh = Type.Object({
  refresh: Given('The refresh token that was received last.')
}, { $id: 'SimpleJwtRefresh', ...body, examples: [{ refresh: example.refreshToken }] })

export const AnyToken = Type.Object({
  token: Given('An access token or a refresh token.')
}, { $id: 'SimpleJwtToken', ...body, examples: [{ token: example.accessToken }] })

const tokens = { refresh: example.refreshToken, access: example.accessToken }

export const Pair = Type.Object({
  refresh: Token('Keep it secret. Each refresh gives a new one; use the newest.'),
  access: Token('A JWT (RFC 9068), to be sent as `Authorization: Bearer …`.')
}, { $id: 'SimpleJwtPair', additionalProperties: false, examples: [tokens] })

export const Refreshed = Type.Object({
  access: Token('A fresh access token.'),
  refresh: Type.Optional(Token('The next refresh token; absent where LATCHKEY_REFRESH_ROTATION is off.'))
}, { $id: 'SimpleJwtRefreshed', additionalProperties: false, examples: [tokens, { access: tokens.access }] })

export const Nothing = Type.Object({}, { $id: 'SimpleJwtNothing', additionalProperties: false, examples: [{}] })

const Fault = Type.Object({
  detail: Sentence(),
  code: Type.Optional(Type.Literal('token_not_valid', { description: 'Of a token that is refused.' }))
}, { $id: 'SimpleJwtFault', additionalProperties: false, examples: [refusal, invalidJson] })

const FieldFaults = Type.Object(
  Object.fromEntries(['username', 'password', 'refresh', 'token', 'non_field_errors'].map((name) => [name, Type.Optional(Type.Array(Sentence(), { maxItems: 1 }))])),
  { $id: 'SimpleJwtFieldFaults', additionalProperties: false, examples: [{ password: ['This field is required.'] }, fieldFaults], description: 'What is wrong, by field; `non_field_errors` is of the whole.' }
)

const Refusal = Type.Union([ref(FieldFaults), ref(Fault)], { $id: 'SimpleJwtRefusal', examples: [fieldFaults, invalidJson], description: 'By field, or of the request as a whole.' })

/** Everything with an `$id`, so that the contract shows it as a named component. */
export const simpleJwtComponents: TSchema[] = [Credentials, Refresh, AnyToken, Pair, Refreshed, Nothing, Fault, FieldFaults, Refusal]

const challenge = { 'WWW-Authenticate': { type: 'string', const: 'Bearer realm="api"', description: 'RFC 6750 §3.' } }

/** Node's parser refuses these before there is a route; their form is that of any other operation. */
const beforeAnyRoute = ['408', '431']
/** It refuses bad HTTP as well, beside what is refused here. */
const [badHttp] = Object.values(problemResponses())

/** Error responses for the contract, one per status, in the words of Django REST Framework. */
export function faultResponses (expected: Code[]) {
  const native = Object.entries(problemResponses(expected))
  return Object.fromEntries(native.map(([status, response]) => [status, beforeAnyRoute.includes(status)
    ? response
    : {
        description: STATUS_CODES[status],
        headers: { ...response.headers, ...(status === '401' && challenge) },
        content: { 'application/json': { schema: ref(status === '400' ? Refusal : Fault), examples: faultsFor(response) }, ...(status === '400' && badHttp?.content) }
      }]))
}

function faultsFor ({ content }: NonNullable<typeof badHttp>) {
  return referTo(Object.keys(content['application/problem+json'].examples).map(faultName))
}
