/** Every error that a client can meet. The codes are the contract: they never change, and clients branch on them. */
export const catalogue = {
  invalid_request: { status: 400, title: 'Invalid request', detail: 'The request is not as this operation expects it; `errors` lists each field at fault.' },
  invalid_json: { status: 400, title: 'Invalid JSON', detail: 'The body is not valid JSON in UTF-8.' },
  invalid_credentials: { status: 401, title: 'Invalid credentials', detail: 'The name or the password is wrong.' },
  invalid_refresh_token: { status: 401, title: 'Invalid refresh token', detail: 'The refresh token is not valid. Log in again.' },
  missing_token: { status: 401, title: 'Missing token', detail: 'This operation needs an access token: Authorization: Bearer …' },
  invalid_token: { status: 401, title: 'Invalid token', detail: 'The access token is not valid.' },
  token_expired: { status: 401, title: 'Token expired', detail: 'The access token has expired. Refresh it.' },
  registration_closed: { status: 403, title: 'Registration closed', detail: 'This service takes no registrations.' },
  csrf_rejected: { status: 403, title: 'Cross-site request', detail: 'The request does not come from an origin that is allowed here.' },
  not_found: { status: 404, title: 'Not found', detail: 'There is nothing here.' },
  method_not_allowed: { status: 405, title: 'Method not allowed', detail: 'The resource does not know this method; the Allow header lists those it knows.' },
  request_timeout: { status: 408, title: 'Request timeout', detail: 'The request did not arrive in time.' },
  username_taken: { status: 409, title: 'Username taken', detail: 'Somebody has this username.' },
  email_taken: { status: 409, title: 'E-mail taken', detail: 'Somebody has this e-mail address.' },
  body_too_large: { status: 413, title: 'Body too large', detail: 'The body is over 16 KiB.' },
  unsupported_media_type: { status: 415, title: 'Unsupported media type', detail: 'The body has to be application/json in UTF-8.' },
  too_many_requests: { status: 429, title: 'Too many requests', detail: 'Wait for the seconds that Retry-After tells.' },
  too_many_attempts: { status: 429, title: 'Too many attempts', detail: 'Wait for the seconds that Retry-After tells.' },
  headers_too_large: { status: 431, title: 'Headers too large', detail: 'The header fields are over 16 KiB.' },
  internal_error: { status: 500, title: 'Internal error', detail: 'Something went wrong here.' },
  overloaded: { status: 503, title: 'Overloaded', detail: 'The service has too much to do. Try again after the seconds that Retry-After tells.', retryAfter: 1 },
  unavailable: { status: 503, title: 'Unavailable', detail: 'The service cannot answer now. Try again after the seconds that Retry-After tells.', retryAfter: 5 }
} as const

export type Code = keyof typeof catalogue

/** What can be wrong with one field. */
export const fieldCatalogue = {
  required: 'This field is required.',
  type: 'This field has the wrong type.',
  format: 'This field is not in the expected form.',
  too_short: 'This field is too short.',
  too_long: 'This field is too long.',
  unknown_field: 'There is no such field.',
  common_password: 'This password is among the most used ones.',
  resembles_user: 'The password is the user\'s own name or address.'
} as const

export type FieldCode = keyof typeof fieldCatalogue

/** One field at fault; `pointer` is a JSON Pointer into the body (RFC 6901). */
export interface FieldError {
  pointer: string
  code: FieldCode
  detail: string
}

/** How many characters a text needs, and how many it may have, or a sentence of its own; what is not said here, nobody is told. */
export type Limits = Partial<Record<FieldCode, number | string>>

export function fieldError (pointer: string, code: FieldCode, limit?: Limits[FieldCode]): FieldError {
  return { pointer, code, detail: fieldDetail(code, limit) }
}

export function fieldDetail (code: FieldCode, limit: Limits[FieldCode]): string {
  if (typeof limit === 'string') return limit
  const detail = fieldCatalogue[code]
  return limit === undefined ? detail : detail.replace(/\.$/, `: ${limit} characters at ${code === 'too_short' ? 'least' : 'most'}.`)
}

// Literal lists are typed by their keys; Object.keys forgets them.
export const codes = Object.keys(catalogue) as Code[]
export const fieldCodes = Object.keys(fieldCatalogue) as FieldCode[]

/** A problem as it is sent (RFC 9457); the type says no more than the status does, so it is `about:blank`. */
export function problem (code: Code, requestId: string, errors?: FieldError[]) {
  const { status, title, detail } = catalogue[code]
  return { type: 'about:blank', title, status, detail, code, request_id: requestId, ...(errors && { errors }) }
}

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'
