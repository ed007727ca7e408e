import type { Store, User } from '../db/open.ts'

/** By what an account is told from every other. */
type Identity = Pick<User, 'externalId' | 'usernameKey' | 'emailKey'>

/** The accounts that there are, and those that come to them. */
export interface Accounts {
  /** @returns the ids of those that could be added. */
  insertUsers: (users: User[]) => Promise<Set<string>>
  findUserByExternalId: (id: string) => Promise<Identity | undefined>
  findUserByUsername: (key: string) => Promise<Identity | undefined>
  findUserByEmail: (key: string) => Promise<Identity | undefined>
}

/** Accounts that behave as those of the store would, and of which nothing is written. */
export function rehearsalOf (store: Pick<Store, 'findUserByExternalId' | 'findUserByUsername' | 'findUserByEmail'>): Accounts {
  const ids = new Map<string, Identity>()
  const names = new Map<string, Identity>()
  const addresses = new Map<string, Identity>()

  const rehearsal: Accounts = {
    findUserByExternalId: async (id) => ids.get(id) ?? await store.findUserByExternalId(id),
    findUserByUsername: async (key) => names.get(key) ?? await store.findUserByUsername(key),
    findUserByEmail: async (key) => addresses.get(key) ?? await store.findUserByEmail(key),
    insertUsers: async (users) => {
      const added = new Set<string>()
      for (const user of users) {
        if (await isTaken(user)) continue
        added.add(user.id)
        keep(user)
      }
      return added
    }
  }

  async function isTaken ({ externalId, usernameKey, emailKey }: Identity): Promise<boolean> {
    const found = await rehearsal.findUserByUsername(usernameKey) ??
      (externalId === null ? undefined : await rehearsal.findUserByExternalId(externalId)) ??
      (emailKey === null ? undefined : await rehearsal.findUserByEmail(emailKey))
    return found !== undefined
  }

  function keep ({ externalId, usernameKey, emailKey }: Identity) {
    const identity = { externalId, usernameKey, emailKey }
    names.set(usernameKey, identity)
    if (externalId !== null) ids.set(externalId, identity)
    if (emailKey !== null) addresses.set(emailKey, identity)
  }

  return rehearsal
}
