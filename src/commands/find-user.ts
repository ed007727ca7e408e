import type { Store, User } from '../db/open.ts'
import { findUserByName } from '../users.ts'
import { Refused } from './terminal.ts'

/**
 * @param name username or e-mail address
 * @throws Refused
 */
export async function findUser (store: Store, name: string): Promise<User> {
  const user = await findUserByName(store, name)
  if (user === undefined) throw new Refused('there is no such user')
  return user
}
