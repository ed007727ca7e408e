import { hkdfSync } from 'node:crypto'
import { leastSecretBytes, type SharedSecretAlgorithm, sharedSecretAlgorithms } from './algorithms.ts'
import type { Config } from './config.ts'
import { makeReady, type TokenKey } from './token-key.ts'

type Settings = Pick<Config, 'publicUrl' | 'audience' | 'algorithm' | 'hsSecret' | 'hsSecretFallbacks'>

/**
 * The keys of LATCHKEY_HS_SECRET and its fallbacks. They are in no database and no JWKS: who knows such a key can sign with it.
 * A secret verifies under each algorithm that it is long enough for, under another `kid` each,
 * so that access tokens from before a change of LATCHKEY_ALGORITHM stay good.
 */
export function sharedKeys (settings: Settings): TokenKey[] {
  const secrets = [settings.hsSecret, ...settings.hsSecretFallbacks].filter((secret) => secret !== undefined)
  return secrets.flatMap((secret) => sharedSecretAlgorithms
    .filter((alg) => Buffer.byteLength(secret) >= leastSecretBytes[alg])
    .map((alg) => sharedKey(secret, alg, settings)))
}

function sharedKey (secret: string, alg: SharedSecretAlgorithm, settings: Settings): TokenKey {
  const bytes = Buffer.from(secret)
  // A fingerprint (RFC 5869) tells two secrets apart and tells nothing about either.
  const kid = Buffer.from(hkdfSync('sha256', bytes, '', `latchkey ${alg} key id`, 16)).toString('base64url')
  return makeReady({ kid, alg, signWith: bytes, verifyWith: bytes }, settings)
}
