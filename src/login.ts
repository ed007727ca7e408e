import type { Store, User } from './db/open.ts'
import type { Attempt, LoginAttempts } from './login-attempts.ts'
import type { Passwords } from './passwords.ts'
import type { Client, Opened, Sessions } from './sessions.ts'
import { findUserByName, loginNames } from './users.ts'

interface Dependencies {
  store: Pick<Store, 'findUserByEmail' | 'findUserByUsername'>
  passwords: Passwords
  sessions: Sessions
  attempts: LoginAttempts
}

export type LoggedIn =
  | Opened & {
    outcome: 'logged_in'
    user: User
    /** As it was typed, for a new hash of it. */
    password: string
    /** The password's hash is not of today's cost and key. */
    outdated: boolean
    failedBefore: boolean
  }
  /** `locked`: the next attempt has to wait. */
  | { outcome: 'invalid_credentials', user: User | undefined, locked: boolean }
  /** Seconds. */
  | { outcome: 'too_many_attempts', retryAfter: number }
  | { outcome: 'overloaded' }

type Judged = Extract<LoggedIn, { outcome: 'logged_in' | 'invalid_credentials' }>

/** Logging in: whether the attempt may be judged at all, then the password, then a session. */
export function createLogin ({ store, passwords, sessions, attempts }: Dependencies) {
  interface Credentials {
    username: string
    password: string
  }

  return async function logIn (credentials: Credentials, client: Client & { addressBlock: string }): Promise<LoggedIn> {
    const admission = await attempts.admit(credentials.username, client.addressBlock)
    if (admission.outcome === 'refused') return { outcome: 'too_many_attempts', retryAfter: admission.retryAfter }
    const slot = passwords.reserve('login')
    if (slot === undefined) {
      await admission.attempt.abandoned()
      return { outcome: 'overloaded' }
    }
    try {
      return await judge(credentials, client, admission.attempt)
    } finally {
      slot.release()
    }
  }

  async function judge ({ username, password }: Credentials, client: Client, attempt: Attempt): Promise<Judged> {
    const { user, verdict, opened } = await open({ username, password }, client).catch(async (error: unknown) => {
      await attempt.abandoned()
      throw error
    })
    if (user && opened) {
      await attempt.succeeded(loginNames(user))
      return { outcome: 'logged_in', user, password, ...opened, outdated: verdict.outdated, failedBefore: attempt.failedBefore }
    }
    const locked = await attempt.failed()
    await passwords.evenOut(verdict)
    return { outcome: 'invalid_credentials', user, locked }
  }

  async function open ({ username, password }: Credentials, client: Client) {
    const user = await findUserByName(store, username)
    const verdict = await passwords.verify(password, user?.passwordHash)
    const opened = user && verdict.matches ? await sessions.open(user, client) : undefined
    return { user, verdict, opened }
  }
}
