import type { Static } from '@sinclair/typebox'
import { v7 as uuidv7 } from 'uuid'
import type { Store, User } from './db/open.ts'
import { canonical, emailKey, loginKey } from './identity.ts'
import type { User as UserSchema } from './schemas.ts'

interface NewUser {
  username: string
  email?: string | null | undefined
  passwordHash: string
  /** JSON, as `parseClaims` gives it. */
  claims?: string
}

/** The row of a new account; its names are known to be good. */
export function newUser ({ username, email, passwordHash, claims = '{}' }: NewUser, now: number): User {
  return {
    id: uuidv7({ msecs: now }),
    username: username.normalize('NFKC'),
    // A name with an @ is the account's own address, and is compared as one.
    usernameKey: emailKey(username) ?? canonical(username),
    email: email ?? null,
    emailKey: emailKey(email ?? '') ?? null,
    emailVerified: false,
    passwordHash,
    claims,
    externalId: null,
    sessionEpoch: 0,
    keptSession: null,
    disabledAt: null,
    createdAt: now,
    lastLoginAt: null
  }
}

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
