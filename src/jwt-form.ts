/** Canonical base64url (RFC 4648 §3.5): the unused bits of the last character are zero, so a token has one spelling. */
const segment = '((?:[\\w-]{4})*(?:[\\w-]{2}[AEIMQUYcgkosw048]|[\\w-][AQgw])?)'
const compact = new RegExp(`^${segment}\\.${segment}\\.${segment}$`)

/** Far more than we ever issue, and far less than a header may hold. */
export const LONGEST_TOKEN = 4_096

/** @returns the header segment of a JWS in compact form, or undefined when it is none. Nothing is parsed. */
export function headerOf (token: string): string | undefined {
  if (token.length > LONGEST_TOKEN) return undefined
  const [, header, payload, signature] = compact.exec(token) ?? []
  return payload && signature ? header : undefined
}
