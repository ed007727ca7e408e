import type { User } from '../db/open.ts'
import { ImportError } from '../transfer/import.ts'
import { accountOf } from './account.ts'
import type { Accounts } from './accounts.ts'
import { type Entry, printable } from './entries.ts'

const AT_ONCE = 500

interface Surroundings {
  accounts: Accounts
  /** Milliseconds. */
  now: () => number
  /** Is given a line for each account that is refused, or that had to leave its address behind. */
  report: (line: string) => void
  /** Is told how many entries have been dealt with. */
  progress: (entries: number) => void
  /** Is told what was written when it ends, be it with an error. */
  ended: (imported: ImportedUsers) => Promise<void>
}

export interface ImportedUsers {
  added: number
  /** Imported before; they stay as they are. */
  known: number
  refused: number
  /** How many there were of each other model. */
  skipped: Map<string, number>
}

/** An account on its way in. */
interface Candidate {
  about: string
  user: User
  without?: string
}

type Outcome = { outcome: 'added', without?: string | undefined } | { outcome: 'known' } | { outcome: 'refused', reason: string }

/**
 * Adds the accounts of another system; twice is once.
 * @throws ImportError when the file is not what it should be; what was imported before it stays.
 */
export async function importUsers (entries: AsyncIterable<Entry>, { accounts, now, report, progress, ended }: Surroundings): Promise<ImportedUsers> {
  const imported: ImportedUsers = { added: 0, known: 0, refused: 0, skipped: new Map() }
  let candidates: Candidate[] = []
  let count = 0

  function refuse (about: string, reason: string) {
    imported.refused += 1
    report(`${about}: refused: ${reason}`)
  }

  function take (entry: Entry) {
    if ('model' in entry) {
      imported.skipped.set(entry.model, (imported.skipped.get(entry.model) ?? 0) + 1)
    } else if ('reason' in entry) {
      refuse(entry.where, entry.reason)
    } else {
      const about = `${entry.where}, ${printable(entry.incoming.username)}`
      const mapped = accountOf(entry.incoming, now())
      if ('reasons' in mapped) refuse(about, mapped.reasons.join('; '))
      else candidates.push({ about, ...mapped })
    }
  }

  async function flush () {
    for (const { about, result } of await add(accounts, candidates)) {
      if (result.outcome === 'refused') refuse(about, result.reason)
      else imported[result.outcome] += 1
      if (result.outcome === 'added' && result.without !== undefined) report(`${about}: added without an e-mail address: ${result.without}`)
    }
    candidates = []
    progress(count)
  }

  try {
    for await (const entry of entries) {
      take(entry)
      count += 1
      if (candidates.length === AT_ONCE) await flush()
    }
    await flush()
  } finally {
    await ended(imported)
  }
  if (count === 0) throw new ImportError('there is nothing in the file')
  return imported
}

async function add (accounts: Accounts, candidates: Candidate[]): Promise<{ about: string, result: Outcome }[]> {
  const added = await accounts.insertUsers(candidates.map(({ user }) => user))
  const results: { about: string, result: Outcome }[] = []
  for (const { about, user, without } of candidates) {
    results.push({ about, result: added.has(user.id) ? { outcome: 'added', without } : await settle(accounts, user) })
  }
  return results
}

/** An account that could not be added as it is. */
async function settle (accounts: Accounts, user: User): Promise<Outcome> {
  const before = user.externalId === null ? undefined : await accounts.findUserByExternalId(user.externalId)
  if (before !== undefined) return before.usernameKey === user.usernameKey ? { outcome: 'known' } : refused('another account came with this id')
  const namesake = await accounts.findUserByUsername(user.usernameKey)
  if (namesake !== undefined) return user.externalId === null && isSame(namesake, user) ? { outcome: 'known' } : refused('another account has this name, perhaps with other capitals')
  if (user.username.includes('@')) return refused('its name is the e-mail address of another account')
  const alone = await accounts.insertUsers([{ ...user, email: null, emailKey: null, emailVerified: false }])
  return alone.has(user.id) ? { outcome: 'added', without: 'another account has it' } : refused('another account has this name')
}

/** Of two accounts of one name and without an id: whether they are one. */
function isSame (one: { externalId: string | null, emailKey: string | null }, other: User): boolean {
  return one.externalId === null && one.emailKey === other.emailKey
}

function refused (reason: string): Outcome {
  return { outcome: 'refused', reason }
}
