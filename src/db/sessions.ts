import { and, asc, eq, type GetColumnData, getTableColumns, gt, inArray, isNull, lte, or, sql } from 'drizzle-orm'
import type { Dialect } from './dialect.ts'
import { type Rotation, transition } from './rotation.ts'
import { one, p, parameters, set, some } from './statements.ts'
import type { Tables } from './tables.ts'

export type Session = Tables['sessions']['$inferSelect']

export function sessionQueries ({ db, read, write }: Dialect, { users, sessions }: Tables) {
  /** The user lets the session go on: active, and the session is of the current epoch or the one that was kept. */
  const allowed = and(isNull(users.disabledAt), or(eq(users.sessionEpoch, sessions.epoch), eq(users.keptSession, sessions.id)))
  const unended = and(isNull(sessions.revokedAt), gt(sessions.idleExpiresAt, p('now')), gt(sessions.expiresAt, p('now')))
  const userAllows = sql`exists (select 1 from ${users} where ${users.id} = ${sessions.userId} and ${allowed})`
  const ofUser = <C extends typeof users.claims | typeof users.externalId>(column: C) =>
    sql<GetColumnData<C>>`(select ${column} from ${users} where ${users.id} = ${sessions.userId})`

  const { usable, next } = transition(sessions)
  // No more than tokens are made of and steps are told by, and nothing that was sent: a driver takes its time for each column.
  const { userId, generation, first, expiresAt, keyId } = sessions
  const rotated = { userId, generation, first, expiresAt, keyId, claims: ofUser(users.claims), externalId: ofUser(users.externalId) }
  const rotate = write('rotate_session',
    db.update(sessions).set(next).where(and(eq(sessions.id, p('id')), usable, unended, userAllows))
      .returning(rotated))
  const find = read('find_session',
    db.select({ ...getTableColumns(sessions), claims: users.claims, externalId: users.externalId, allowed: sql<boolean | number>`${allowed}` })
      .from(sessions).innerJoin(users, eq(users.id, sessions.userId)).where(eq(sessions.id, p('id'))))
  const live = and(eq(sessions.id, p('id')), eq(sessions.userId, p('userId')), unended, allowed)
  // Of the hottest of all statements nothing is read but that there is a row.
  const isLive = read('is_live_session',
    db.select({ id: sessions.id }).from(sessions).innerJoin(users, eq(users.id, sessions.userId)).where(live))
  const liveUser = read('user_of_live_session',
    db.select(getTableColumns(users)).from(sessions).innerJoin(users, eq(users.id, sessions.userId)).where(live))
  const list = read('list_sessions',
    db.select(getTableColumns(sessions)).from(sessions).innerJoin(users, eq(users.id, sessions.userId))
      .where(and(eq(sessions.userId, p('userId')), unended, allowed)).orderBy(asc(sessions.id)))
  const open = write('open_session', db.insert(sessions).select(
    db.select(parameters(sessions)).from(users)
      .where(and(eq(users.id, p('userId')), eq(users.sessionEpoch, p('epoch')), isNull(users.disabledAt)))
  ).returning({ id: sessions.id }))
  const importOne = write('import_session', db.insert(sessions).select(
    db.select(parameters(sessions)).from(users).where(eq(users.id, p('userId')))
  ).onConflictDoNothing().returning({ id: sessions.id }))
  const listAll = read('list_all_sessions',
    db.select().from(sessions).where(gt(sessions.id, p('after'))).orderBy(asc(sessions.id)).limit(p('most')))
  const liveness = sql<number>`case when ${and(unended, allowed)} then 1 else 0 end`
  const listJudged = read('list_judged_sessions',
    db.select({ ...getTableColumns(sessions), username: users.username, live: liveness })
      .from(sessions).innerJoin(users, eq(users.id, sessions.userId))
      .where(gt(sessions.id, p('after'))).orderBy(asc(sessions.id)).limit(p('most')))
  const end = { revokedAt: set('now'), revokedReason: set('reason') }
  const revoke = write('revoke_session',
    db.update(sessions).set(end).where(and(eq(sessions.id, p('id')), isNull(sessions.revokedAt))).returning({ userId: sessions.userId }))
  const revokeOwn = write('revoke_own_session',
    db.update(sessions).set(end)
      .where(and(eq(sessions.id, p('id')), eq(sessions.userId, p('userId')), unended, userAllows)).returning({ id: sessions.id }))
  const purge = write('purge_sessions',
    db.delete(sessions).where(inArray(sessions.id,
      db.select({ id: sessions.id }).from(sessions).where(lte(sessions.expiresAt, p('now'))).limit(p('most'))
    )).returning({ id: sessions.id }))

  const countPage = read('count_live_sessions', db.select({
    last: sql<string | null>`max(id)`,
    live: sql<number | null>`sum(live)`
  }).from(db.select({ id: sessions.id, live: liveness.as('live') })
    .from(sessions).innerJoin(users, eq(users.id, sessions.userId))
    .where(gt(sessions.id, p('after'))).orderBy(asc(sessions.id)).limit(p('most')).as('page')))

  return {
    /** False when the user was disabled, or their sessions were ended, since `session.epoch` was read. */
    openSession: async (session: Session) => some(await open(session)),
    /** A session of another database; false when it is here already, or its user is not. */
    importSession: async (session: Session) => some(await importOne(session)),
    /** A page of all sessions, in the order of their ids. */
    listSessions: (after: string, most: number) => listAll({ after, most }),
    /** The same with the name of the user, and whether each is live. */
    listJudgedSessions: (after: string, most: number, now: number) => listJudged({ after, most, now }),
    /** One step of the refresh table; undefined when no step applies. */
    rotateSession: async (values: Rotation) => {
      const row = one(await rotate({ ...values }))
      const { id, ip, now: rotatedAt, idleExpiresAt } = values
      return row && { ...row, id, ip, rotatedAt, idleExpiresAt }
    },
    findSession: async (id: string) => one(await find({ id })),
    /** Whether a session and its user are both good, whatever a token says. */
    isLiveSession: async (id: string, userId: string, now: number) => some(await isLive({ id, userId, now })),
    /** The user of a session while both are good. */
    findUserOfLiveSession: async (id: string, userId: string, now: number) => one(await liveUser({ id, userId, now })),
    listLiveSessions: (userId: string, now: number) => list({ userId, now }),
    /** The user whose session it was; undefined when there is none to revoke. */
    revokeSession: async (id: string, now: number, reason: string) => one(await revoke({ id, now, reason }))?.userId,
    /** False when it is not a live session of this user. */
    revokeOwnSession: async (values: { id: string, userId: string, now: number, reason: string }) => some(await revokeOwn(values)),
    /** How many of the `most` sessions that come after the id `after` are live, and the last of their ids. */
    countLiveSessions: async (after: string, most: number, now: number) => one(await countPage({ after, most, now })),
    /** Deletes sessions past their absolute expiry; says how many. */
    purgeSessions: async (now: number, most: number) => (await purge({ now, most })).length
  }
}
