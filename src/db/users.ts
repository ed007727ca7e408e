import { and, asc, eq, gt, isNotNull, isNull, not, sql } from 'drizzle-orm'
import type { Dialect } from './dialect.ts'
import { one, p, placeholders, set, some } from './statements.ts'
import type { Tables } from './tables.ts'

export type User = Tables['users']['$inferSelect']

/** Enough that a commit for each costs little; few enough to hold the database for a few milliseconds only. */
const ROWS_AT_ONCE = 100
interface NewEmail extends Pick<User, 'id' | 'username' | 'usernameKey'> {
  email: string
  emailKey: string
  verified: boolean
}

export function userQueries ({ db, read, write }: Dialect, { users }: Tables) {
  const active = and(eq(users.id, p('id')), isNull(users.disabledAt))
  const nextEpoch = sql`${users.sessionEpoch} + 1`

  const insert = write('insert_user', db.insert(users).values(placeholders(users)).onConflictDoNothing().returning())
  const insertMany = write('insert_users',
    db.insert(users).values(Array.from({ length: ROWS_AT_ONCE }, (_, row) => placeholders(users, `_${row}`))).onConflictDoNothing().returning({ id: users.id }))
  const byUsername = read('user_by_username', db.select().from(users).where(eq(users.usernameKey, p('key'))))
  const byEmail = read('user_by_email', db.select().from(users).where(eq(users.emailKey, p('key'))))
  const byId = read('user_by_id', db.select().from(users).where(eq(users.id, p('id'))))
  const byExternalId = read('user_by_external_id', db.select().from(users).where(eq(users.externalId, p('key'))))
  const list = read('list_users',
    db.select().from(users).where(gt(users.id, p('after'))).orderBy(asc(users.id)).limit(p('most')))
  const loggedIn = write('user_logged_in',
    db.update(users).set({ lastLoginAt: set('now') }).where(and(active, eq(users.sessionEpoch, p('epoch')))).returning({ id: users.id }))
  const rehash = write('rehash_password',
    db.update(users).set({ passwordHash: set('hash') })
      .where(and(eq(users.id, p('id')), eq(users.passwordHash, p('old')))).returning({ id: users.id }))
  const changePassword = write('change_password',
    db.update(users).set({ passwordHash: set('hash'), sessionEpoch: nextEpoch, keptSession: set('session') })
      .where(and(active, eq(users.sessionEpoch, p('epoch')))).returning({ id: users.id }))
  const setPassword = write('set_password',
    db.update(users).set({ passwordHash: set('hash'), sessionEpoch: nextEpoch, keptSession: null })
      .where(eq(users.id, p('id'))).returning({ id: users.id }))
  const endSessions = write('end_sessions_of_user',
    db.update(users).set({ sessionEpoch: nextEpoch, keptSession: null }).where(eq(users.id, p('id'))).returning({ id: users.id }))
  const disable = write('disable_user',
    db.update(users).set({ disabledAt: set('now'), sessionEpoch: nextEpoch, keptSession: null })
      .where(active).returning({ id: users.id }))
  const enable = write('enable_user',
    db.update(users).set({ disabledAt: null }).where(and(eq(users.id, p('id')), isNotNull(users.disabledAt))).returning({ id: users.id }))
  const setClaims = write('set_claims',
    db.update(users).set({ claims: set('claims') }).where(eq(users.id, p('id'))).returning({ id: users.id }))
  const taken = sql`exists (select 1 from ${users} as other
    where other.id <> ${p('id')} and (other.email_key = ${p('emailKey')} or other.username_key = ${p('usernameKey')}))`
  const setEmail = write('set_email',
    db.update(users).set({
      email: set('email'),
      emailKey: set('emailKey'),
      emailVerified: sql`${sql.param(p('verified'), users.emailVerified)}`,
      username: set('username'),
      usernameKey: set('usernameKey')
    }).where(and(eq(users.id, p('id')), not(taken))).returning({ id: users.id }))
  const remove = write('delete_user', db.delete(users).where(eq(users.id, p('id'))).returning({ id: users.id }))

  return {
    /** Undefined when the username or the e-mail is taken. */
    insertUser: async (user: User) => one(await insert(user)),
    /** One after another, as it were: of two that cannot both be there the first is. @returns the ids of those that are. */
    insertUsers: async (rows: User[]): Promise<Set<string>> => {
      const inserted = new Set<string>()
      for (let start = 0; start < rows.length; start += ROWS_AT_ONCE) {
        const some = rows.slice(start, start + ROWS_AT_ONCE)
        const done = some.length === ROWS_AT_ONCE ? [await insertMany(numbered(some))] : await inTurn(some, insert)
        for (const { id } of done.flat()) inserted.add(id)
      }
      return inserted
    },
    findUserByUsername: async (key: string) => one(await byUsername({ key })),
    findUserByEmail: async (key: string) => one(await byEmail({ key })),
    findUser: async (id: string) => one(await byId({ id })),
    findUserByExternalId: async (key: string) => one(await byExternalId({ key })),
    /** A page of all users, in the order of their ids. */
    listUsers: (after: string, most: number) => list({ after, most }),
    /** Under the same conditions as a session is opened: a login that is refused was none. */
    recordLogin: async ({ id, sessionEpoch: epoch }: Pick<User, 'id' | 'sessionEpoch'>, now: number) => { await loggedIn({ id, epoch, now }) },
    /** Replaces a hash of an old scheme or cost, unless it has changed meanwhile; ends no session. */
    upgradeHash: async (id: string, old: string, hash: string) => some(await rehash({ id, old, hash })),
    /** Ends every session but `session`. False when the user was disabled, or `epoch` is no longer theirs. */
    changePassword: async (values: { id: string, epoch: number, hash: string, session: string }) => some(await changePassword(values)),
    /** Ends every session too. */
    setPassword: async (id: string, hash: string) => some(await setPassword({ id, hash })),
    /** False when the address, or the username, is another account's. */
    setEmail: async (values: NewEmail) => some(await setEmail({ ...values })),
    /** Deletes the account, and its sessions with it. */
    deleteUser: async (id: string) => some(await remove({ id })),
    endSessionsOfUser: async (id: string) => some(await endSessions({ id })),
    /** Ends every session too. False when there is no such active user. */
    disableUser: async (id: string, now: number) => some(await disable({ id, now })),
    /** False when there is no such disabled user. */
    enableUser: async (id: string) => some(await enable({ id })),
    setClaims: async (id: string, claims: string) => some(await setClaims({ id, claims }))
  }
}

/** The values of several rows under the names that `placeholders` gives them. */
function numbered (rows: User[]): Record<string, unknown> {
  return Object.fromEntries(rows.flatMap((row, number) => Object.entries(row).map(([name, value]) => [`${name}_${number}`, value])))
}

async function inTurn<Row, Result> (rows: Row[], work: (row: Row) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = []
  for (const row of rows) results.push(await work(row))
  return results
}
