import { createHash } from 'node:crypto'
import type { Task } from './hash-worker.js'

/** A hash that another system made of a password as it was typed, in Django's form or in PHC's. */
interface ForeignHash {
  /** The work of comparing a password with it; it must not be empty. */
  compare: (password: string) => Task
  /** The system read so many bytes of a password: what comes after them may be wrong, and it matches all the same. */
  reads: number
}

type ReadHash =
  | { outcome: 'known', hash: ForeignHash }
  /** The account has no password: Django's `!…`. */
  | { outcome: 'unusable' }
  /** `reason` holds nothing of the hash. */
  | { outcome: 'refused', reason: string }

type Groups = Record<string, string>

/** One comparison costs no more than about two seconds of a core, and 256 MiB. */
const HIGHEST_BCRYPT_COST = 15
const MOST_ITERATIONS = 5_000_000
const MOST_MEMORY = 256 * 1024 * 1024
/** N · r · p */
const MOST_SCRYPT_WORK = 4_194_304
/** KiB · passes */
const MOST_ARGON2_WORK = 1_048_576
const MOST_LANES = 64
/** A shorter key would be met by chance. */
const KEY_BYTES = [16, 128] as const
const SALT_BYTES = [1, 1_024] as const
/** RFC 9106 §3.1 */
const ARGON2_SALT_BYTES = [8, 1_024] as const

const BCRYPT_READS = 72

const forms: [RegExp, (groups: Groups) => ForeignHash | undefined][] = [
  [/^(?:(?<kind>bcrypt|bcrypt_sha256)\$)?(?<hash>\$2[aby]\$(?<cost>\d\d)\$[./A-Za-z0-9]{53})$/, bcrypt],
  [/^pbkdf2_(?<digest>sha1|sha256|sha512)\$(?<iterations>\d+)\$(?<text>[^$]+)\$(?<key>[^$]+)$/, pbkdf2],
  // As Passlib writes it, and as PHC does.
  [/^\$pbkdf2-(?<digest>sha1|sha256|sha512)\$(?:i=)?(?<iterations>\d+)(?:,l=\d+)?\$(?<salt>[^$]+)\$(?<key>[^$]+)$/, pbkdf2],
  [/^scrypt\$(?<n>\d+)\$(?<text>[^$]+)\$(?<r>\d+)\$(?<p>\d+)\$(?<key>[^$]+)$/, scrypt],
  [/^\$scrypt\$ln=(?<ln>\d\d?),r=(?<r>\d+),p=(?<p>\d+)\$(?<salt>[^$]+)\$(?<key>[^$]+)$/, scrypt],
  [/^(?:argon2)?\$(?<kind>argon2id|argon2i|argon2d)\$v=19\$m=(?<m>\d+),t=(?<t>\d+),p=(?<p>\d+)\$(?<salt>[^$]+)\$(?<key>[^$]+)$/, argon2]
]

/** Reads the stored form of another system. */
export function readForeignHash (stored: string): ReadHash {
  if (stored === '' || stored.startsWith('!')) return { outcome: 'unusable' }
  for (const [form, read] of forms) {
    const groups = form.exec(stored)?.groups
    if (groups === undefined) continue
    const hash = read(groups)
    return hash === undefined ? refused('its parameters are damaged, or would cost too much') : { outcome: 'known', hash }
  }
  return refused('expected Django\'s or PHC\'s form of bcrypt, PBKDF2, scrypt or Argon2')
}

function refused (reason: string): ReadHash {
  return { outcome: 'refused', reason: `password hash: ${reason}` }
}

function bcrypt ({ kind, hash = '', cost }: Groups): ForeignHash | undefined {
  if (!within(cost, [4, HIGHEST_BCRYPT_COST])) return undefined
  if (kind !== 'bcrypt_sha256') return { compare: (text) => ({ text, hash }), reads: BCRYPT_READS }
  return whole((password) => ({ text: createHash('sha256').update(password).digest('hex'), hash }))
}

function pbkdf2 ({ digest = '', iterations, ...rest }: Groups): ForeignHash | undefined {
  const bytes = bytesOf(rest, SALT_BYTES)
  if (bytes === undefined || !within(iterations, [1, MOST_ITERATIONS])) return undefined
  return whole((password) => ({ scheme: 'pbkdf2', password, digest, iterations: Number(iterations), ...bytes }))
}

function scrypt ({ n, ln, r, p, ...rest }: Groups): ForeignHash | undefined {
  const cost = n === undefined ? 2 ** Number(ln) : Number(n)
  const [blockSize, parallelization] = [Number(r), Number(p)]
  const bytes = bytesOf(rest, SALT_BYTES)
  const powerOfTwo = cost > 1 && Number.isInteger(Math.log2(cost))
  const work = cost * blockSize * parallelization
  if (bytes === undefined || !powerOfTwo || work < 1 || work > MOST_SCRYPT_WORK || 128 * cost * blockSize > MOST_MEMORY) return undefined
  return whole((password) => ({ scheme: 'scrypt', password, cost, blockSize, parallelization, ...bytes }))
}

function argon2 ({ kind, m, t, p, ...rest }: Groups): ForeignHash | undefined {
  const [memorySize, iterations, parallelism] = [Number(m), Number(t), Number(p)]
  const bytes = bytesOf(rest, ARGON2_SALT_BYTES)
  const affordable = memorySize * 1024 <= MOST_MEMORY && memorySize * iterations <= MOST_ARGON2_WORK
  if (bytes === undefined || !affordable || iterations < 1 || !within(p, [1, MOST_LANES]) || memorySize < 8 * parallelism) return undefined
  // The form has one of these three.
  return whole((password) => ({ scheme: 'argon2', kind: kind as 'argon2id', password, memorySize, iterations, parallelism, ...bytes }))
}

function whole (compare: ForeignHash['compare']): ForeignHash {
  return { compare, reads: Infinity }
}

function within (number: string | undefined, [least, most]: readonly [number, number]): boolean {
  return Number(number) >= least && Number(number) <= most
}

/** Salt and key in base64; Django's salt is a text, and stands for its own bytes. */
function bytesOf ({ text, salt = '', key = '' }: Groups, saltBytes: readonly [number, number]): { salt: string, key: string } | undefined {
  const bytes = { salt: text === undefined ? decode(salt) : Buffer.from(text), key: decode(key) }
  if (!within(String(bytes.salt.length), saltBytes) || !within(String(bytes.key.length), KEY_BYTES)) return undefined
  return { salt: bytes.salt.toString('base64'), key: bytes.key.toString('base64') }
}

/** Passlib writes a dot for the plus. Nothing comes of what is no base64. */
function decode (base64: string): Buffer {
  return Buffer.from(/^[A-Za-z0-9+/.]+={0,2}$/.test(base64) ? base64.replaceAll('.', '+') : '', 'base64')
}
