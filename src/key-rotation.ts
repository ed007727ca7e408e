import { ofSharedSecret } from './algorithms.ts'
import { type Config, ConfigError } from './config.ts'
import type { SigningKey, Store } from './db/open.ts'
import { ANNOUNCEMENT, publishedAt, signerAt } from './key-life.ts'
import { createSigningKey, secretOf } from './keys.ts'
import type { Secrets } from './secrets.ts'

export interface Dependencies {
  store: Pick<Store, 'insertSigningKey' | 'listSigningKeys' | 'revokeSigningKey'>
  secrets: Secrets
  settings: Pick<Config, 'algorithm' | 'accessTtl' | 'leeway'>
  now: () => number
}

/** `reserve`: it verifies, and would sign if a shared secret did not. */
type KeyState = 'coming' | 'signing' | 'reserve' | 'retiring' | 'retired' | 'revoked'

/**
 * Inserts a new key. It is announced first and signs when every verifier has seen it; `immediately` is for a compromise:
 * verifiers that keep the old JWKS refuse its tokens until they fetch it again.
 * @returns undefined when another process has put a key at the very same moment.
 * @throws ConfigError when a key is under a secret that is not configured: the service has other secrets, and could not open the new key.
 * And when a shared secret signs: it comes from the settings, and so does the next.
 */
export async function rotateKey ({ store, secrets, settings, now }: Dependencies, { immediately }: { immediately: boolean }): Promise<SigningKey | undefined> {
  const { algorithm } = settings
  if (ofSharedSecret(algorithm)) {
    throw new ConfigError(`LATCHKEY_HS_SECRET: set a new one and put the old one in LATCHKEY_HS_SECRET_FALLBACKS to rotate the key of ${algorithm}; there is no key pair to rotate`)
  }
  for (const key of await store.listSigningKeys()) if (key.revokedAt === null) secretOf(key, secrets)
  const time = now()
  const activeFrom = immediately ? time : time + ANNOUNCEMENT
  return await store.insertSigningKey(await createSigningKey(algorithm, secrets.primary, { now: time, activeFrom }))
}

/**
 * Revokes a key: its tokens are refused here within 30 s, elsewhere when the JWKS is fetched again.
 * When nothing else signs now, a new one does so at once; it is put first, so that there is a key at every moment.
 * @returns false when there is no such key, or it is revoked already.
 */
export async function revokeKey (dependencies: Dependencies, kid: string): Promise<boolean> {
  const { store, settings, now } = dependencies
  const keys = await store.listSigningKeys()
  if (!keys.some((key) => key.kid === kid && key.revokedAt === null)) return false
  const left = keys.filter((key) => key.kid !== kid)
  if (!ofSharedSecret(settings.algorithm) && signerAt(left, now()) === undefined) await rotateKey(dependencies, { immediately: true })
  return await store.revokeSigningKey(kid, now())
}

/** Every key, oldest first, with the part it plays at the moment. */
export async function listKeys ({ store, settings, now }: Dependencies): Promise<(SigningKey & { state: KeyState })[]> {
  const keys = await store.listSigningKeys()
  const signer = signerAt(keys, now())
  const published = publishedAt(keys, now(), settings)
  return keys.map((key) => ({ ...key, state: stateOf(key, now(), { signer, published, shared: ofSharedSecret(settings.algorithm) }) }))
}

interface Parts {
  signer: SigningKey | undefined
  published: SigningKey[]
  /** Whether a shared secret signs in the signer's stead. */
  shared: boolean
}

function stateOf (key: SigningKey, now: number, { signer, published, shared }: Parts): KeyState {
  if (key.revokedAt !== null) return 'revoked'
  if (key === signer) return shared ? 'reserve' : 'signing'
  if (key.activeFrom > now) return 'coming'
  return published.includes(key) ? 'retiring' : 'retired'
}
