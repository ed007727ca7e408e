import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { existsSync, linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Config, ConfigError } from './config.ts'
import { SECRET_OF_ITS_OWN } from './config/shared-secret.ts'
import { checkSecret } from './config/weak-secrets.ts'
import { makeFolder } from './db/folder.ts'
import type { Address } from './db/open.ts'

/** The keys that follow from one master secret; each has its own label, so none tells another. */
export interface SecretKeys {
  /** Names the secret in a session's row and in a refresh token's `kid`. */
  id: string
  /** HS256 key of the refresh tokens. */
  refresh: Buffer
  /** AES-256-GCM key of the signing keys at rest. */
  wrapping: Buffer
  /** HMAC key that names the counters of login attempts. */
  attempts: Buffer
}

/** The keys of every configured secret by id, the primary first. */
export interface Secrets {
  primary: SecretKeys
  all: ReadonlyMap<string, SecretKeys>
}

/**
 * @returns the keys of the primary secret (made at first start beside the database when none is set) and its fallbacks.
 * @throws ConfigError when the primary is shared with other services as LATCHKEY_HS_SECRET.
 */
export function loadSecrets (config: Pick<Config, 'secret' | 'secretFallbacks' | 'hsSecret' | 'hsSecretFallbacks' | 'database'>): Secrets {
  const secret = config.secret ?? secretFile(secretPath(config.database))
  if ([config.hsSecret, ...config.hsSecretFallbacks].includes(secret)) throw new ConfigError(SECRET_OF_ITS_OWN)
  const primary = deriveKeys(secret)
  const keys = [primary, ...config.secretFallbacks.map(deriveKeys)]
  return { primary, all: new Map(keys.map((one) => [one.id, one])) }
}

/**
 * Where the master secret lies when none is set: beside the database file.
 * @throws ConfigError where there is no file.
 */
export function secretPath (database: Address): string {
  if ('url' in database) throw new ConfigError('LATCHKEY_SECRET: expected with PostgreSQL, the same for every replica; openssl rand -base64 48 makes one')
  return join(dirname(database.path), 'secret')
}

function deriveKeys (secret: string): SecretKeys {
  // RFC 5869; the secret is random, so the salt may be empty.
  const key = (label: string) => Buffer.from(hkdfSync('sha256', secret, '', `latchkey ${label}`, 32))
  return { id: key('key id').toString('base64url').slice(0, 8), refresh: key('refresh tokens'), wrapping: key('signing keys'), attempts: key('login attempts') }
}

/** Reads the secret, or makes it: complete and durable before its name exists, so that two first starts agree. */
function secretFile (path: string): string {
  if (!existsSync(path)) make(path)
  const secret = readFileSync(path, 'utf8').trim()
  try {
    checkSecret(secret)
  } catch {
    throw new ConfigError(`${path}: this is no master secret; restore the file that belongs to the database beside it`)
  }
  return secret
}

function make (path: string) {
  const draft = `${path}.${process.pid}`
  makeFolder(dirname(path))
  writeFileSync(draft, randomBytes(48).toString('base64url') + '\n', { mode: 0o600, flush: true })
  try {
    linkSync(draft, path)
  } catch (error) {
    // Another process was first; its secret is as good.
    if (!existsSync(path)) throw error
  } finally {
    unlinkSync(draft)
  }
}

/** A short, public name of a key: it tells two apart and tells nothing about either. */
export function fingerprint (key: string): string {
  return createHash('sha256').update(`latchkey key ${key}`).digest('base64url').slice(0, 8)
}
