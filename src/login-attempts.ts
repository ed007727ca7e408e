import { createHmac } from 'node:crypto'
import { FREE_AT_ADDRESS, FREE_EVERYWHERE } from './db/login-attempts.ts'
import type { Store } from './db/open.ts'
import { canonical, loginKey } from './identity.ts'
import { createVerdicts } from './verdicts.ts'

/** A login from here so recently makes an address one of the account's own. */
export const KNOWN_FOR = 30 * 86_400_000

/** How long an attempt waits for those before it to be judged (ms). */
const LONGEST_WAIT = 5_000
/** Attempts at other replicas are seen by looking; those here wake the waiting themselves. */
const LOOK_AGAIN_AFTER = 250

type Attempts = Pick<Store, 'takeAttempt' | 'findAttempts' | 'failAttempt' | 'failAttemptEverywhere' | 'passAttempt' | 'releaseAttempt' | 'knowAddress'>

export interface Dependencies {
  store: Attempts
  /** Key of the HMAC that names the counters, so that the table tells no name. */
  key: Buffer
  now: () => number
}

export interface Attempt {
  /** Whether the last attempts of this name from this address failed. */
  failedBefore: boolean
  /** @returns whether it was one too many: the next has to wait. */
  failed: () => Promise<boolean>
  /** @param names every login name of the account: the address is known under each of them now. */
  succeeded: (names: string[]) => Promise<void>
  /** It was not judged at all. */
  abandoned: () => Promise<void>
}

export type Admission =
  | { outcome: 'admitted', attempt: Attempt }
  /** `retryAfter` in whole seconds. */
  | { outcome: 'refused', retryAfter: number }

export type LoginAttempts = ReturnType<typeof createLoginAttempts>

/**
 * What keeps guesses of passwords few, without letting a guesser lock anybody out (docs/defence.md).
 * Two counters, in the database, so that restarts and replicas share them:
 * - of a name at an address block: `FREE_AT_ADDRESS` failures, then a delay that doubles;
 * - of a name at all addresses but those from which that account has logged in lately: `FREE_EVERYWHERE` failures an hour.
 */
export function createLoginAttempts ({ store, key, now }: Dependencies) {
  const verdicts = createVerdicts()
  // As JSON, for a name may contain whatever would stand between the parts, and would then be another counter's.
  const idOf = (...parts: string[]) => createHmac('sha256', key).update(JSON.stringify(parts)).digest('base64url')

  /**
   * Takes a place among the attempts that may be judged. Those beyond the allowance wait for a verdict on the ones before them:
   * many services that log in at once with the right password all get in, and of many guesses no more than allowed are judged.
   * @param name as it was typed: an unknown one is counted as a known one is.
   * @param block the address block of the client.
   */
  async function admit (name: string, block: string): Promise<Admission> {
    const atAddress = idOf(keyOf(name), block)
    const here = await take(atAddress, FREE_AT_ADDRESS)
    if (here.outcome === 'refused') return here
    const { failedBefore } = here
    if (here.knownUntil > now()) return { outcome: 'admitted', attempt: attempt({ atAddress, block, failedBefore }) }

    const everywhere = idOf(keyOf(name))
    const there = await take(everywhere, FREE_EVERYWHERE).catch(async (error: unknown) => {
      await release(atAddress)
      throw error
    })
    if (there.outcome === 'admitted') return { outcome: 'admitted', attempt: attempt({ atAddress, everywhere, block, failedBefore }) }
    await release(atAddress)
    return there
  }

  async function take (id: string, allowance: number) {
    let deadline = performance.now() + LONGEST_WAIT
    let successes: number | undefined
    for (;;) {
      const taken = await store.takeAttempt(id, allowance, now())
      if (taken) return { outcome: 'admitted' as const, knownUntil: taken.knownUntil, failedBefore: taken.failures > 0 }
      const { blockedUntil, pending, knownUntil } = await store.findAttempts(id, now())
      const wait = blockedUntil - now()
      if (wait > 0) return refused(wait)
      // Each success lets more of those that wait come forward, so they have as long again.
      if (successes !== undefined && knownUntil !== successes) deadline = performance.now() + LONGEST_WAIT
      successes = knownUntil
      if (pending > 0 && performance.now() >= deadline) return refused(1_000)
      if (pending > 0) await verdicts.next(id, LOOK_AGAIN_AFTER)
    }
  }

  function attempt ({ atAddress, everywhere, block, failedBefore }: { atAddress: string, everywhere?: string, block: string, failedBefore: boolean }): Attempt {
    const ids = everywhere === undefined ? [atAddress] : [atAddress, everywhere]
    return {
      failedBefore,
      failed: () => judged(ids, async () => {
        const blocked = await Promise.all([
          store.failAttempt(atAddress, now()),
          everywhere !== undefined && store.failAttemptEverywhere(everywhere, now())
        ])
        return blocked.includes(true)
      }),
      succeeded: (names) => judged(ids, async () => {
        await Promise.all([
          store.passAttempt(atAddress, now(), now() + KNOWN_FOR),
          everywhere !== undefined && store.releaseAttempt(everywhere),
          ...[...new Set(names.map((name) => idOf(keyOf(name), block)))].filter((id) => id !== atAddress)
            .map((id) => store.knowAddress(id, now(), now() + KNOWN_FOR))
        ])
      }),
      abandoned: () => judged(ids, async () => { await Promise.all(ids.map(store.releaseAttempt)) })
    }
  }

  async function release (id: string) {
    await judged([id], () => store.releaseAttempt(id))
  }

  async function judged<T> (ids: string[], write: () => Promise<T>): Promise<T> {
    try {
      return await write()
    } finally {
      ids.forEach(verdicts.announce)
    }
  }

  return { admit }
}

/**
 * All spellings that find one account are one name: an address has any number of them, as its domain is compared in ASCII.
 * A name that no account can have is counted as it was typed.
 */
function keyOf (name: string): string {
  const key = loginKey(name) ?? { username: canonical(name) }
  return 'email' in key ? key.email : key.username
}

function refused (wait: number) {
  return { outcome: 'refused' as const, retryAfter: Math.ceil(wait / 1000) }
}
