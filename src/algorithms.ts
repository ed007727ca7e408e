/** Of a key pair: everybody verifies with the half that is published. */
export const keyPairAlgorithms = ['ES256', 'ES384', 'ES512', 'EdDSA', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const

/** Of one secret, which whoever verifies has to know. */
export const sharedSecretAlgorithms = ['HS256', 'HS384', 'HS512'] as const

export type KeyPairAlgorithm = typeof keyPairAlgorithms[number]
export type SharedSecretAlgorithm = typeof sharedSecretAlgorithms[number]
export type Algorithm = KeyPairAlgorithm | SharedSecretAlgorithm

/** RFC 7518 §3.2: a secret has at least as many bytes as the hash gives. */
export const leastSecretBytes: Record<SharedSecretAlgorithm, number> = { HS256: 32, HS384: 48, HS512: 64 }

export function ofSharedSecret (algorithm: Algorithm): algorithm is SharedSecretAlgorithm {
  return algorithm in leastSecretBytes
}
