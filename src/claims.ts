/** Names to which a token gives a meaning of its own (RFC 7519 §4.1, RFC 9068 §2.2, docs/tokens.md). */
const reserved = new Set([
  'iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti',
  'client_id', 'sid', 'token_type', 'user_id', 'gen', 'typ', 'azp', 'act', 'may_act', 'cnf', 'nonce', 'auth_time', 'acr', 'amr'
])

const MOST_BYTES = 1_024
const DEEPEST = 3

type ParsedClaims = { outcome: 'valid', claims: string } | { outcome: 'invalid', reason: string }

/** Custom claims as an operator gives them: a JSON object of at most 1 KiB and three levels. */
export function parseClaims (json: string): ParsedClaims {
  return checkClaims(parse(json))
}

/** The same for what has been parsed. */
export function checkClaims (value: unknown): ParsedClaims {
  if (!isObject(value)) return invalid('expected a JSON object, such as {"is_admin":true}')
  // Before it is written as JSON, which overflows the stack where the levels are thousands.
  if (isDeeper(value, DEEPEST)) return invalid(`expected at most ${DEEPEST} levels`)
  const claims = JSON.stringify(value)
  if (Buffer.byteLength(claims) > MOST_BYTES) return invalid(`expected at most ${MOST_BYTES} bytes`)
  // At no level: a reader that copies it into an object changes that object's prototype.
  const name = claims.includes('"__proto__":') ? '__proto__' : Object.keys(value).find((key) => reserved.has(key))
  return name === undefined ? { outcome: 'valid', claims } : invalid(`"${name}" is reserved`)
}

function invalid (reason: string): ParsedClaims {
  return { outcome: 'invalid', reason }
}

function parse (json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isDeeper (value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((one) => isDeeper(one, levels - 1))
}
