import { leastSecretBytes, ofSharedSecret } from '../algorithms.ts'
import type { Config } from '../config.ts'

/** Who verifies with the shared secret must not thereby have the one from which all else follows. */
export const SECRET_OF_ITS_OWN = 'LATCHKEY_HS_SECRET: expected a secret of its own and its fallbacks, none that is a master secret or a pepper too'

/** What LATCHKEY_HS_SECRET and its fallbacks must not be, each with its line for the terminal. */
export function sharedSecretContradictions (config: Config): [boolean, string][] {
  const { algorithm, hsSecret, hsSecretFallbacks, secret, secretFallbacks, passwordPepper, passwordPepperFallbacks } = config
  const least = ofSharedSecret(algorithm) ? leastSecretBytes[algorithm] : 0
  const others = [secret, ...secretFallbacks, passwordPepper, ...passwordPepperFallbacks]
  const shared = hsSecret === undefined ? hsSecretFallbacks : [hsSecret, ...hsSecretFallbacks]
  return [
    [least > 0 && hsSecret === undefined, `LATCHKEY_HS_SECRET: expected with ${algorithm}; openssl rand -base64 48 makes one`],
    [least === 0 && hsSecret !== undefined, `LATCHKEY_HS_SECRET: expected with HS256, HS384 or HS512 alone; in LATCHKEY_HS_SECRET_FALLBACKS it verifies with ${algorithm} too`],
    [hsSecret !== undefined && Buffer.byteLength(hsSecret) < least, `LATCHKEY_HS_SECRET: expected at least ${least} bytes for ${algorithm}`],
    [hsSecret !== undefined && hsSecretFallbacks.includes(hsSecret), 'LATCHKEY_HS_SECRET_FALLBACKS: expected earlier secrets, not LATCHKEY_HS_SECRET itself'],
    [shared.some((one) => others.includes(one)), SECRET_OF_ITS_OWN]
  ]
}
