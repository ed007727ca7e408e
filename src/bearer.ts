/**
 * @param rawHeaders names and values in turn, as they came: Node keeps only the first of two Authorization headers elsewhere.
 * @returns the token; '' when the credentials are malformed or there are two, which no token is; undefined when no bearer token was sent.
 */
export function readBearer (rawHeaders: readonly string[]): string | undefined {
  const values = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === 'authorization')
  const [value = ''] = values
  if (values.length > 1) return ''
  if (!/^bearer(?:\s|$)/i.test(value)) return undefined
  // RFC 9110 §11.4: one space or more.
  return /^bearer +(\S+)$/i.exec(value)?.[1] ?? ''
}
