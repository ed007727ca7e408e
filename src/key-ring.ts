import { ofSharedSecret } from './algorithms.ts'
import type { Config } from './config.ts'
import type { SigningKey, Store } from './db/open.ts'
import { ANNOUNCEMENT, publishedAt, signerAt } from './key-life.ts'
import { algorithmOf, createSigningKey, privatePem, publicPem, rewrap, secretOf, unwrap } from './keys.ts'
import type { Secrets } from './secrets.ts'
import { sharedKeys } from './shared-keys.ts'
import { makeReady, type TokenKey } from './token-key.ts'

type Settings = Pick<Config, 'publicUrl' | 'audience' | 'algorithm' | 'hsSecret' | 'hsSecretFallbacks' | 'accessTtl' | 'leeway'>
type KeyStore = Pick<Store, 'insertSigningKey' | 'listSigningKeys' | 'rewrapSigningKey'>

interface Dependencies {
  store: KeyStore
  secrets: Secrets
  settings: Settings
  now: () => number
}

/** An unknown header makes us look for new keys, but not more often. */
const RELOAD_PAUSE = 5_000

export type KeyRing = Awaited<ReturnType<typeof openKeyRing>>
type Key = ReturnType<typeof load>

/**
 * The signing keys in memory. At first start one is made; a changed algorithm announces one;
 * keys under an earlier secret are encrypted anew under the primary.
 * Where a shared secret signs, none is made; the newest key pair verifies on, and signs again when the algorithm is changed back.
 * A revoked key is of no use, so nobody needs the secret that it is under.
 * @throws ConfigError when a key is under a secret that is not configured.
 */
export async function openKeyRing ({ store, secrets, settings, now }: Dependencies) {
  await insertWhereNeeded({ store, secrets, settings, now })
  const shared = sharedKeys(settings)
  const sharedSigner = shared.find(({ alg }) => alg === settings.algorithm)
  const sharedByHeader = new Map(shared.map((key) => [key.header, key]))
  let keys: Key[] = []
  let byHeader = new Map<string, Key>()
  let reloadedAt = -Infinity
  let reloading: Promise<string[]> | undefined

  /**
   * Reads the keys again; who asks meanwhile waits for the same answer.
   * @returns the ids of those that cannot be read: one that another process has put under a secret of its own,
   * or that was altered, must not hide the rest, revocations above all.
   */
  async function reload (): Promise<string[]> {
    reloading ??= read().finally(() => { reloading = undefined })
    return await reloading
  }

  async function read (): Promise<string[]> {
    const starting = reloadedAt === -Infinity
    reloadedAt = now()
    const known = new Map(keys.map((key) => [key.kid, key]))
    const rows = (await store.listSigningKeys()).filter((row) => row.revokedAt === null)
    // At the start each has to open.
    const open = starting ? load : loadable
    keys = rows.flatMap((row) => known.get(row.kid) ?? open(row, secrets, settings) ?? [])
    byHeader = new Map(keys.map((key) => [key.header, key]))
    return rows.map(({ kid }) => kid).filter((kid) => !keys.some((key) => key.kid === kid))
  }

  /** @returns the key that verifies and whose tokens all begin with `header`; an unknown one is looked for, at most once in 5 s. */
  async function find (header: string): Promise<TokenKey | undefined> {
    const sharedKey = sharedByHeader.get(header)
    if (sharedKey !== undefined) return sharedKey
    if (!byHeader.has(header) && (reloading || now() - reloadedAt >= RELOAD_PAUSE)) await reload()
    const key = byHeader.get(header)
    return key !== undefined && published().includes(key) ? key : undefined
  }

  const published = () => publishedAt(keys, now(), settings)
  // A clock that was set back may be before all of them: then the first signs.
  const signer = (): TokenKey | undefined => sharedSigner ?? signerAt(keys, now()) ?? keys[0]

  await reload()
  return { reload, find, published, signer }
}

async function insertWhereNeeded ({ store, secrets, settings, now }: Dependencies) {
  const { algorithm } = settings
  const rows = await store.listSigningKeys()
  // First of all: with a wrong secret nothing may be written.
  for (const row of rows.filter((one) => one.revokedAt === null && one.keyId !== secrets.primary.id)) {
    await store.rewrapSigningKey(rewrap(row, secretOf(row, secrets), secrets.primary))
  }
  if (ofSharedSecret(algorithm)) return
  const insert = async (activeFrom: number) => await store.insertSigningKey(await createSigningKey(algorithm, secrets.primary, { now: now(), activeFrom }))
  if (signerAt(rows, now()) === undefined) {
    // Two first starts agree: `activeFrom` is unique. Where there are keys, revoked or still to come, 0 may be taken.
    await insert(rows.length === 0 ? 0 : now())
  }
  const newest = rows.findLast((row) => row.revokedAt === null)
  if (newest !== undefined && newest.alg !== algorithm) await insert(now() + ANNOUNCEMENT)
}

/** Undefined when it cannot be read here. */
function loadable (...key: Parameters<typeof load>): Key | undefined {
  try {
    return load(...key)
  } catch {
    return undefined
  }
}

/**
 * A stored key made ready.
 * @throws ConfigError when its secret is not configured, or it was altered.
 */
function load (row: SigningKey, secrets: Secrets, settings: Settings) {
  const { kid, publicJwk, activeFrom, revokedAt } = row
  const verifyWith = publicPem(row)
  const alg = algorithmOf(row)
  const ready = makeReady({ kid, alg, signWith: privatePem(unwrap(row, secretOf(row, secrets))), verifyWith }, settings)
  return { ...ready, activeFrom, revokedAt, jwk: { ...JSON.parse(publicJwk), kid, alg, use: 'sig' } }
}
