import type { Config } from './config.ts'
import type { SigningKey, Store } from './db/open.ts'
import { ANNOUNCEMENT, publishedAt, signerAt } from './key-life.ts'
import { createSigningKey, secretOf } from './keys.ts'
import type { Secrets } from './secrets.ts'

export interface Dependencies {
  store: Pick<Store, 'insertSigningKey' | 'listSigningKeys' | 'revokeSigningKey'>
  secrets: Secrets
  settings: Pick<Config, 'algorithm' | 'accessTtl'>
  now: () => number
}

export type KeyState = 'coming' | 'signing' | 'retiring' | 'retired' | 'revoked'

/**
 * Inserts a new key. It is announced first and signs when every verifier has seen it; `immediately` is for a compromise:
 * verifiers that keep the old JWKS refuse its tokens until they fetch it again.
 * @returns undefined when another process has put a key at the very same moment.
 * @throws ConfigError when a key is under a secret that is not configured: the service has other secrets, and could not open the new key.
 */
export async function rotateKey ({ store, secrets, settings, now }: Dependencies, { immediately }: { immediately: boolean }): Promise<SigningKey | undefined> {
  for (const key of await store.listSigningKeys()) if (key.revokedAt === null) secretOf(key, secrets)
  const time = now()
  const activeFrom = immediately ? time : time + ANNOUNCEMENT
  return await store.insertSigningKey(createSigningKey(settings.algorithm, secrets.primary, { now: time, activeFrom }))
}

/**
 * Revokes a key: its tokens are refused here within 30 s, elsewhere when the JWKS is fetched again.
 * When no other key signs now, a new one does so at once; it is put first, so that there is a key at every moment.
 * @returns false when there is no such key, or it is revoked already.
 */
export async function revokeKey (dependencies: Dependencies, kid: string): Promise<boolean> {
  const { store, now } = dependencies
  const keys = await store.listSigningKeys()
  if (!keys.some((key) => key.kid === kid && key.revokedAt === null)) return false
  const left = keys.filter((key) => key.kid !== kid)
  if (signerAt(left, now()) === undefined) await rotateKey(dependencies, { immediately: true })
  return await store.revokeSigningKey(kid, now())
}

/** Every key, oldest first, with the part it plays at the moment. */
export async function listKeys ({ store, settings, now }: Dependencies): Promise<(SigningKey & { state: KeyState })[]> {
  const keys = await store.listSigningKeys()
  const signer = signerAt(keys, now())
  const published = publishedAt(keys, now(), settings.accessTtl)
  return keys.map((key) => ({ ...key, state: stateOf(key, now(), { signer, published }) }))
}

function stateOf (key: SigningKey, now: number, { signer, published }: { signer: SigningKey | undefined, published: SigningKey[] }): KeyState {
  if (key.revokedAt !== null) return 'revoked'
  if (key === signer) return 'signing'
  if (key.activeFrom > now) return 'coming'
  return published.includes(key) ? 'retiring' : 'retired'
}
