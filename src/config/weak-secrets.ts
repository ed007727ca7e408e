const LEAST_BYTES = 32
const LEAST_DISTINCT = 12

/** What tutorials, samples and keyboards offer; compared with letters and digits alone. */
const wellKnown = [
  'changeme', 'changethis', 'replaceme', 'placeholder', 'example', 'sample', 'yoursecret', 'yoursuper', 'your256bit',
  'supersecret', 'mysecret', 'topsecret', 'secretkey', 'jwtsecret', 'thisisasecret', 'djangoinsecure', 'password',
  'abcdefgh', '12345678', '01234567', '87654321', 'qwerty', 'deadbeef', 'latchkey'
]

/** @throws with a line that says what is expected of a secret, never the secret. */
export function checkSecret (secret: string): void {
  const bytes = Buffer.from(secret)
  const letters = secret.toLowerCase().replace(/[^a-z0-9]/g, '')
  const weak = bytes.length < LEAST_BYTES || new Set(bytes).size < LEAST_DISTINCT ||
    wellKnown.some((word) => letters.includes(word))
  if (!weak) return
  throw new Error(`expected at least ${LEAST_BYTES} random bytes, ${LEAST_DISTINCT} different ones among them and no well-known phrase (make them with: openssl rand -base64 48)`)
}
