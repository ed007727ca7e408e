import { createHmac } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Config } from './config.ts'
import { readForeignHash } from './foreign-hashes.ts'
import { createHashThreads } from './hash-threads.ts'
import { fingerprint } from './secrets.ts'

type Settings = Pick<Config, 'bcryptCost' | 'hashThreads' | 'hashQueue' | 'passwordPepper' | 'passwordPepperFallbacks'>

/**
 * Key of the pre-hash where no pepper is set. It is public and need not be secret: it keeps hashes of
 * other systems from being tried against ours without a guess of the password (hash shucking).
 */
const builtIn: Pepper = { id: 'builtin', key: 'latchkey password pre-hash, version 1' }

interface Pepper {
  id: string
  key: string
}

/** `algorithm$key$cost$salt and digest`; bcrypt's own `$2b$` form is put together from the last two. */
const storedForm = /^bcrypt_hmac_sha384\$([\w-]+)\$(\d\d)\$([./A-Za-z0-9]{53})$/
const LOWEST_COST = 4
const HIGHEST_COST = 15

/** A salt and a digest that no password gives; comparing with it costs what a real comparison costs. */
const DECOY = 'abcdefghijklmnopqrstuu' + '.'.repeat(31)

/** A failed login takes at least so many times a hash at today's cost, so that a cheap old hash tells nothing. */
const FAILURE_FACTOR = 1.3

export type Passwords = ReturnType<typeof createPasswords>

interface Verdict {
  matches: boolean
  /** The hash is of another cost, key or scheme than today's, and a new one is to take its place. */
  outdated: boolean
  /** Milliseconds that the comparison took, without the wait for a thread. */
  took: number
}

/**
 * Hashes and compares passwords with bcrypt over a keyed pre-hash.
 * bcrypt reads 72 bytes; the pre-hash (OWASP Password Storage: HMAC-SHA-384, base64) lets every byte count.
 * @param waited is told how long each hash waited for a thread.
 */
export function createPasswords ({ bcryptCost, hashThreads, hashQueue, passwordPepper, passwordPepperFallbacks }: Settings, waited: (ms: number) => void = () => {}) {
  const primary = passwordPepper === undefined ? builtIn : pepper(passwordPepper)
  const keys = new Map([builtIn, primary, ...passwordPepperFallbacks.map(pepper)].map((one) => [one.id, one]))
  const decoy = `$2b$${digits(bcryptCost)}$${DECOY}`
  const threads = createHashThreads(hashThreads, waited)
  let slots = 0
  let costOfToday: number | undefined

  /** @returns the stored form of a new password. */
  async function hash (password: string): Promise<string> {
    const { result } = await threads.run<string>({ text: preHash(password, primary), cost: bcryptCost })
    return `bcrypt_hmac_sha384$${primary.id}$${digits(bcryptCost)}$${result.slice(-53)}`
  }

  /** Compares with a stored form; with none, or one that is damaged, it takes as long and never matches. */
  async function verify (password: string, stored: string | undefined): Promise<Verdict> {
    // A lone surrogate becomes U+FFFD in UTF-8, so it could match another password's hash; and nobody has an empty one.
    const comparable = stored !== undefined && password !== '' && password.isWellFormed()
    const comparison = comparable ? comparisonWith(stored, password) : undefined
    const { task, outdated, ofToday } = comparison ?? { task: { text: preHash(password, primary), hash: decoy }, outdated: false, ofToday: true }
    const { result, took } = await threads.run<boolean>(task)
    if (ofToday) costOfToday = took
    return { matches: result && comparison !== undefined, outdated, took }
  }

  /** Undefined when the stored form is none that can be compared with. */
  function comparisonWith (stored: string, password: string) {
    const own = parse(stored, keys)
    if (own !== undefined) {
      const ofToday = own.cost === bcryptCost
      return { task: { text: preHash(password, own.key), hash: own.bcrypt }, outdated: own.key !== primary || !ofToday, ofToday }
    }
    const foreign = readForeignHash(stored)
    if (foreign.outcome !== 'known') return undefined
    // Of a password of which only the beginning has been compared no new hash is made: its end may be a mistake.
    const outdated = Buffer.byteLength(password) <= foreign.hash.reads
    return { task: foreign.hash.compare(password), outdated, ofToday: false }
  }

  /** To be awaited before a failed login is answered: every failure then takes as long, whatever its hash cost. */
  async function evenOut ({ took }: Verdict): Promise<void> {
    const rest = FAILURE_FACTOR * (costOfToday ?? await measure()) - took
    if (rest > 0) await delay(rest)
  }

  async function measure (): Promise<number> {
    const { took } = await threads.run({ text: preHash('', primary), hash: decoy })
    costOfToday = took
    return took
  }

  /**
   * Takes a place in the queue, before anything is hashed for a request; logins get three quarters of it,
   * so that they cannot keep everybody else out. Undefined when it is full.
   */
  function reserve (purpose: 'login' | 'other'): { release: () => void } | undefined {
    const waiting = purpose === 'login' ? Math.ceil(hashQueue * 0.75) : hashQueue
    if (slots >= hashThreads + waiting) return undefined
    slots += 1
    return { release: () => { slots -= 1 } }
  }

  return { hash, verify, evenOut, reserve, places: () => slots, close: threads.close }
}

function pepper (key: string): Pepper {
  return { id: fingerprint(key), key }
}

function preHash (password: string, { key }: Pepper): string {
  return createHmac('sha384', key).update(password.normalize('NFC')).digest('base64')
}

function parse (stored: string, keys: Map<string, Pepper>) {
  const [, keyId = '', cost = '', rest = ''] = storedForm.exec(stored) ?? []
  const key = keys.get(keyId)
  if (key === undefined || Number(cost) < LOWEST_COST || Number(cost) > HIGHEST_COST) return undefined
  return { key, cost: Number(cost), bcrypt: `$2b$${cost}$${rest}` }
}

function digits (cost: number): string {
  return String(cost).padStart(2, '0')
}
