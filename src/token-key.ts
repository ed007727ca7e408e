import { createSigner, createVerifier } from 'fast-jwt'
import type { Algorithm } from './algorithms.ts'
import type { Config } from './config.ts'

const TYP = 'at+jwt'
const REQUIRED_CLAIMS = ['iss', 'aud', 'exp', 'iat', 'sub', 'jti', 'sid']
const VERIFIED_TOKENS_KEPT = 10_000

interface KeyMaterial {
  kid: string
  alg: Algorithm
  /** PEM, or the bytes of a secret. */
  signWith: string | Buffer
  verifyWith: string | Buffer
}

export type TokenKey = ReturnType<typeof makeReady>

/** A key made ready for access tokens: its signer and verifier are built once, since each costs ten signatures to build. */
export function makeReady ({ kid, alg, signWith, verifyWith }: KeyMaterial, { publicUrl, audience }: Pick<Config, 'publicUrl' | 'audience'>) {
  const sign = createSigner({ key: signWith, algorithm: alg, kid, header: { alg, typ: TYP, kid } })
  const verify = createVerifier({
    key: verifyWith,
    algorithms: [alg],
    checkTyp: TYP,
    requiredClaims: REQUIRED_CLAIMS,
    allowedIss: publicUrl,
    allowedAud: audience,
    // Times are compared by the caller, with the service's one clock.
    ignoreExpiration: true,
    ignoreNotBefore: true,
    cache: VERIFIED_TOKENS_KEPT
  })
  /** The header segment that all of its tokens begin with. */
  const [header = ''] = sign({}).split('.')
  return { kid, alg, header, sign, verify }
}
