import type { Static } from '@sinclair/typebox'
import type { Store, User } from './db/open.ts'
import { loginKey } from './identity.ts'
import type { User as UserSchema } from './schemas.ts'

/** What a user may see of their account. */
export function presentUser (user: User): Static<typeof UserSchema> {
  return {
    id: user.id,
    username: user.username,
    email: user.email,
    email_verified: user.emailVerified,
    created_at: new Date(user.createdAt).toISOString(),
    last_login_at: user.lastLoginAt === null ? null : new Date(user.lastLoginAt).toISOString()
  }
}

/** Every name with which the account logs in. */
export function loginNames ({ username, email }: User): string[] {
  return email === null ? [username] : [username, email]
}

/** Finds the account of a login name: with an `@` it is an e-mail address, else a username. */
export async function findUserByName (store: Pick<Store, 'findUserByEmail' | 'findUserByUsername'>, name: string): Promise<User | undefined> {
  const key = loginKey(name)
  if (key === undefined) return undefined
  return 'email' in key ? await store.findUserByEmail(key.email) : await store.findUserByUsername(key.username)
}
