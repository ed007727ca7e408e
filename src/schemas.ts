import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { keyPairAlgorithms } from './algorithms.ts'
import { codes, fieldCodes } from './errors.ts'
import { invalidCredentials, invalidFields, tooShort } from './failure-examples.ts'
import { LONGEST_TOKEN } from './jwt-form.ts'
import * as example from './schema-examples.ts'
import { USER_AGENT_KEPT } from './user-agent.ts'

export type Routes<Options extends Record<string, unknown> = Record<never, never>> = FastifyPluginAsyncTypebox<Options>

const Time = (description: string) => Type.String({ format: 'date-time', maxLength: 32, description })
const Id = (description: string) => Type.String({ format: 'uuid', maxLength: 36, description })
const enumOf = <const T extends string>(values: readonly T[], description: string) =>
  Type.Unsafe<T>({ type: 'string', enum: values, description })
const nullable = (type: 'string', options: object) => Type.Unsafe<string | null>({ ...options, type: [type, 'null'] })

/** More than anybody has; for clients that reserve memory. */
const MOST_LISTED = 100_000

/** Bytes; no string in a body is longer. */
export const BODY_LIMIT = 16_384
/** Seconds; no session lives longer than ten years. */
const TEN_YEARS = 315_360_000

/** One or more sentences of ours, never of the client's. */
export const Sentence = (options: object = {}) => Type.String({ pattern: '^\\S.*\\S$', maxLength: 256, ...options })
export const Token = (description: string) => Type.String({ pattern: '^[\\w-]+\\.[\\w-]+\\.[\\w-]+$', maxLength: LONGEST_TOKEN, description })
const Seconds = (description: string) => Type.Integer({ format: 'int32', minimum: 0, maximum: TEN_YEARS, description })
const Base64url = (description: string) => Type.String({ pattern: '^[\\w-]+$', maxLength: 1_024, description })

const NewPassword = Type.String({
  'x-policy': 'new-password',
  format: 'password',
  maxLength: BODY_LIMIT,
  description: '8 (unless set otherwise) to 1024 characters, any of Unicode, counted after NFC. Neither a common password nor the user\'s own name or address.',
  examples: [example.password]
})

const AnyPassword = Type.String({ format: 'password', maxLength: BODY_LIMIT, description: 'The password.', examples: [example.password] })

const RefreshToken = Type.String({ maxLength: BODY_LIMIT, description: 'The refresh token that was received last.' })

export const Registration = Type.Object({
  username: Type.String({
    'x-policy': 'username', maxLength: BODY_LIMIT, description: '1 to 150 letters, digits and `@ . + - _`, counted after NFKC. With an `@` it has to be the account\'s own e-mail address.', examples: ['ada']
  }),
  password: NewPassword,
  email: Type.Optional(nullable('string', {
    'x-policy': 'email', maxLength: BODY_LIMIT, description: 'An e-mail address; null is the same as none.', examples: ['ada@example.com']
  }))
}, { $id: 'Registration', additionalProperties: false, examples: [{ username: 'ada', password: example.password, email: 'ada@example.com' }] })

export const Credentials = Type.Object({
  username: Type.String({ maxLength: BODY_LIMIT, description: 'The username, or the e-mail address.', examples: ['ada'] }),
  password: AnyPassword,
  transport: Type.Optional(enumOf(['body', 'cookie'], 'Where the refresh token is to travel: in the body (unless said otherwise), or in a cookie, where LATCHKEY_COOKIES is on.'))
}, { $id: 'Credentials', additionalProperties: false, examples: [{ username: 'ada', password: example.password }] })

/** Without a body, or without the field, the cookie speaks. */
export const OptionalRefreshToken = Type.Unsafe<{ refresh_token?: string } | null>({
  $id: 'RefreshRequest', type: ['object', 'null'], properties: { refresh_token: RefreshToken }, additionalProperties: false, examples: [{ refresh_token: example.refreshToken }]
})

export const PasswordChange = Type.Object({
  current_password: AnyPassword,
  new_password: NewPassword
}, { $id: 'PasswordChange', additionalProperties: false, examples: [{ current_password: example.password, new_password: 'another good password' }] })

export const TokenPair = Type.Object({
  access_token: Token('A JWT (RFC 9068), to be sent as `Authorization: Bearer …`.'),
  token_type: Type.Literal('Bearer'),
  expires_in: Seconds('Seconds for which the access token is good.'),
  refresh_token: Type.Optional(Token('Keep it secret. Each refresh gives a new one; use the newest. Absent where it travels in the cookie.')),
  refresh_expires_in: Seconds('Seconds for which the refresh token is good.')
}, { $id: 'TokenPair', additionalProperties: false, examples: example.tokenPairs })

export const User = Type.Object({
  id: Id('The `sub` of the user\'s tokens.'),
  username: Type.String({ pattern: '^\\S+$', maxLength: 150, examples: ['ada'] }),
  email: nullable('string', { pattern: '^\\S+@\\S+$', maxLength: 254, examples: ['ada@example.com'] }),
  email_verified: Type.Boolean(),
  created_at: Time('When the user registered.'),
  last_login_at: nullable('string', { format: 'date-time', maxLength: 32, description: 'When the user last logged in, if ever.' })
}, { $id: 'User', additionalProperties: false, examples: [example.user] })

export const Session = Type.Object({
  id: Id('The `sid` of the session\'s tokens.'),
  created_at: Time('The login.'),
  last_used_at: Time('The last refresh that gave a new refresh token, or the login.'),
  expires_at: Time('When it ends unless it is refreshed before.'),
  ip: Type.String({ pattern: '^[\\d.a-fA-F:]+(%\\w+)?$', maxLength: 64, description: 'The address of the login, or of the last refresh that gave a new token.', examples: ['203.0.113.7'] }),
  user_agent: Type.String({ pattern: '^.*$', maxLength: USER_AGENT_KEPT, description: `The first ${USER_AGENT_KEPT} characters of the User-Agent of the login; a control character is U+FFFD.`, examples: ['curl/8.5.0'] }),
  current: Type.Boolean({ description: 'Whether the access token of this request belongs to it.' })
}, { $id: 'Session', additionalProperties: false, examples: [example.session] })

export const SessionList = Type.Array(Type.Unsafe<Static<typeof Session>>({ $ref: 'Session#' }), { $id: 'SessionList', maxItems: MOST_LISTED, examples: [[example.session]] })

export const Greeting = Type.Object({ message: Type.Literal('Access Granted!') }, { $id: 'Greeting', additionalProperties: false, examples: [{ message: 'Access Granted!' }] })

export const Health = Type.Object({ status: Type.Literal('ok') }, { $id: 'Health', additionalProperties: false, examples: [{ status: 'ok' }] })

const Jwk = Type.Object({
  kid: Base64url('RFC 7638 thumbprint.'),
  kty: enumOf(['EC', 'OKP', 'RSA'], 'The family of the key.'),
  alg: enumOf([...keyPairAlgorithms], 'The one algorithm of this key.'),
  use: Type.Literal('sig'),
  crv: Type.Optional(Base64url('The curve.')),
  x: Type.Optional(Base64url('First coordinate.')),
  y: Type.Optional(Base64url('Second coordinate.')),
  n: Type.Optional(Base64url('RSA modulus.')),
  e: Type.Optional(Base64url('RSA exponent.'))
}, { $id: 'Jwk', additionalProperties: false, examples: [example.jwk] })

export const Jwks = Type.Object({
  keys: Type.Array(Type.Unsafe<Static<typeof Jwk>>({ $ref: 'Jwk#' }), { maxItems: MOST_LISTED })
}, { $id: 'Jwks', additionalProperties: false, examples: [{ keys: [example.jwk] }] })

export const Metadata = Type.Object({
  issuer: Type.String({ format: 'uri', maxLength: 250, description: 'The `iss` of the access tokens.', examples: ['http://localhost:3000'] }),
  jwks_uri: Type.String({ format: 'uri', maxLength: 300, description: 'Where the public keys are.', examples: ['http://localhost:3000/.well-known/jwks.json'] })
}, { $id: 'Metadata', additionalProperties: false, examples: [example.metadata] })

const FieldError = Type.Object({
  // The name of an unknown field is in it, and each of its characters may be written as two.
  pointer: Type.String({ format: 'json-pointer', maxLength: 2 * BODY_LIMIT, description: 'JSON Pointer into the body; empty for the whole of it.', examples: ['/password'] }),
  code: enumOf(fieldCodes, 'What is wrong with it.'),
  detail: Sentence({ examples: [tooShort.detail] })
}, { $id: 'FieldError', additionalProperties: false, examples: [tooShort] })

export const Problem = Type.Object({
  type: Type.Literal('about:blank'),
  title: Sentence({ maxLength: 64 }),
  status: Type.Integer({ format: 'int32', minimum: 400, maximum: 599 }),
  detail: Sentence(),
  code: enumOf(codes, 'Stable; branch on it.'),
  request_id: Id('Names this request in the service\'s log.'),
  errors: Type.Optional(Type.Array(Type.Unsafe<Static<typeof FieldError>>({ $ref: 'FieldError#' }), { maxItems: 50 }))
}, { $id: 'Problem', additionalProperties: false, examples: [invalidCredentials, invalidFields] })

/** Everything with an `$id`, so that the contract shows it as a named component. */
export const components = [
  Registration, Credentials, OptionalRefreshToken, PasswordChange, TokenPair, User, Session, SessionList, Greeting, Health, Jwk, Jwks, Metadata, FieldError, Problem
]

export function ref<T extends TSchema> (schema: T) {
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#` })
}
