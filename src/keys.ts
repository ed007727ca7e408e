import { createCipheriv, createDecipheriv, createHash, createPrivateKey, createPublicKey, generateKeyPair, type JsonWebKey, type KeyObject, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { type KeyPairAlgorithm, keyPairAlgorithms } from './algorithms.ts'
import { ConfigError } from './config.ts'
import type { SigningKey } from './db/open.ts'
import type { SecretKeys, Secrets } from './secrets.ts'

/** OpenSSL's curve for each algorithm of elliptic curves (RFC 7518 §3.4); EdDSA is Ed25519, RSA is 3072 bits, whatever the hash. */
const curves: Partial<Record<KeyPairAlgorithm, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }
const RSA_BITS = 3_072
const generate = promisify(generateKeyPair)

/** The members that RFC 7638 §3.2 (and RFC 8037 §2) hash, of whichever kind of key, in its order; nothing else of a JWK is published. */
const members = ['crv', 'e', 'kty', 'n', 'x', 'y'] as const

/** A new signing key as it is stored, its private part encrypted under `secret`; it signs from `activeFrom` (ms) on. */
export async function createSigningKey (alg: KeyPairAlgorithm, secret: SecretKeys, { now, activeFrom }: { now: number, activeFrom: number }): Promise<SigningKey> {
  const { privateKey, publicKey } = await makeKeyPair(alg)
  const jwk = publicMembers(publicKey.export({ format: 'jwk' }))
  const kid = thumbprint(jwk)
  return {
    kid,
    alg,
    publicJwk: JSON.stringify(jwk),
    encryptedKey: wrap(privateKey.export({ type: 'pkcs8', format: 'der' }), kid, secret),
    keyId: secret.id,
    activeFrom,
    revokedAt: null,
    createdAt: now
  }
}

/** On a thread: a key of RSA may take seconds. */
async function makeKeyPair (alg: KeyPairAlgorithm): Promise<{ privateKey: KeyObject, publicKey: KeyObject }> {
  const namedCurve = curves[alg]
  if (namedCurve !== undefined) return await generate('ec', { namedCurve })
  return alg === 'EdDSA' ? await generate('ed25519', undefined) : await generate('rsa', { modulusLength: RSA_BITS })
}

function publicMembers (jwk: JsonWebKey): JsonWebKey {
  return Object.fromEntries(members.filter((member) => member in jwk).map((member) => [member, jwk[member]]))
}

/** RFC 7638: SHA-256 over the required members alone, in lexicographic order, without white space. */
function thumbprint (jwk: JsonWebKey): string {
  return createHash('sha256').update(JSON.stringify(jwk)).digest('base64url')
}

/** AES-256-GCM as `iv.ciphertext.tag`; the `kid` is bound to it, so a ciphertext cannot stand in for another key's. */
function wrap (privateKey: Buffer, kid: string, secret: SecretKeys): string {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', secret.wrapping, iv).setAAD(Buffer.from(kid))
  const parts = [iv, cipher.update(privateKey), cipher.final(), cipher.getAuthTag()]
  return Buffer.concat(parts).toString('base64url')
}

/** @throws ConfigError when the secret that encrypted `key` is not configured. */
export function secretOf (key: SigningKey, secrets: Secrets): SecretKeys {
  const secret = secrets.all.get(key.keyId)
  if (secret) return secret
  throw new ConfigError(`LATCHKEY_SECRET: signing key ${key.kid} was encrypted under another secret; ` +
    'add that one to LATCHKEY_SECRET_FALLBACKS, or restore the secret file that belongs to this database')
}

/** @throws ConfigError when it is not what `secret` encrypted. */
export function unwrap (key: SigningKey, secret: SecretKeys): Buffer {
  const bytes = Buffer.from(key.encryptedKey, 'base64url')
  try {
    const decipher = createDecipheriv('aes-256-gcm', secret.wrapping, bytes.subarray(0, 12), { authTagLength: 16 })
      .setAAD(Buffer.from(key.kid)).setAuthTag(bytes.subarray(-16))
    return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()])
  } catch {
    // Node has an error for each way in which it may be damaged; what to do is the same.
    throw altered(key)
  }
}

/** The same key encrypted under another secret. */
export function rewrap (key: SigningKey, from: SecretKeys, to: SecretKeys): Pick<SigningKey, 'kid' | 'encryptedKey' | 'keyId'> {
  return { kid: key.kid, encryptedKey: wrap(unwrap(key, from), key.kid, to), keyId: to.id }
}

/**
 * The algorithm of a stored key whose public half is known to be whole (`publicPem`).
 * @throws ConfigError unless it is of key pairs, for what is published must never be taken for a shared secret, and of pairs like this one.
 */
export function algorithmOf (key: SigningKey): KeyPairAlgorithm {
  const found = keyPairAlgorithms.find((one) => one === key.alg)
  if (found === undefined || curveOf(found) !== JSON.parse(key.publicJwk).crv) throw altered(key)
  return found
}

/** `crv` of a JWK; RSA has none. */
function curveOf (alg: KeyPairAlgorithm): string | undefined {
  return alg === 'EdDSA' ? 'Ed25519' : curves[alg]
}

function altered ({ kid }: SigningKey): ConfigError {
  return new ConfigError(`DATABASE_URL: signing key ${kid} was altered; restore a backup, or revoke it with latchkey keys revoke`)
}

/** PKCS #8 bytes as PEM, which the JWT library reads. */
export function privatePem (der: Buffer): string {
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** @throws ConfigError unless it belongs to the `kid`, and so to the private half, which is bound to that. */
export function publicPem (key: SigningKey): string {
  if (createHash('sha256').update(key.publicJwk).digest('base64url') !== key.kid) throw altered(key)
  return createPublicKey({ key: JSON.parse(key.publicJwk), format: 'jwk' }).export({ type: 'spki', format: 'pem' }).toString()
}
