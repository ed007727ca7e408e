import { eq, inArray, lte, type SQL, sql } from 'drizzle-orm'
import type { Dialect } from './dialect.ts'
import { one, p, set } from './statements.ts'
import type { Tables } from './tables.ts'

export type LoginAttempts = Tables['loginAttempts']['$inferSelect']

const MINUTE = 60_000
const HOUR = 3_600_000
/** A counter is forgotten so long after its last failure. */
const KEPT = 24 * HOUR
/** An attempt without a verdict for so long was cut off by a crash. */
const LOST_AFTER = MINUTE

/** Failures of a name at one address until a delay begins, and the longest delay. */
export const FREE_AT_ADDRESS = 5
const LONGEST_DELAY = 15 * MINUTE
/** Failures of a name at all addresses that an hour has room for. */
export const FREE_EVERYWHERE = 50

const literal = (value: number): SQL => sql.raw(String(value))

export function loginAttemptQueries ({ db, read, write }: Dialect, { loginAttempts: t }: Tables) {
  const forgotten = sql`${t.forgetAt} <= ${p('now')}`
  const failures = sql<number>`case when ${forgotten} then 0 else ${t.failures} end`
  const pending = sql<number>`case when ${t.pendingSince} <= ${p('lostBefore')} then 0 else ${t.pending} end`
  const released = sql`case when ${t.pending} > 0 then ${t.pending} - 1 else 0 end`
  const keptUntil = (until: SQL) => sql`case when ${t.knownUntil} > ${until} then ${t.knownUntil} else ${until} end`
  // PostgreSQL would take a parameter beside a number for a 32-bit one.
  const now = sql`cast(${p('now')} as bigint)`
  const after = (wait: number) => sql`${now} + ${literal(wait)}`

  const take = write('take_attempt', db.insert(t)
    .values({ id: p('id'), failures: 0, pending: 1, pendingSince: p('now'), blockedUntil: 0, forgetAt: p('now'), knownUntil: 0, expiresAt: p('expiresAt') })
    .onConflictDoUpdate({
      target: t.id,
      // An attempt under way keeps the row from the purge.
      set: { failures, pending: sql`${pending} + 1`, pendingSince: set('now'), expiresAt: sql`case when ${t.expiresAt} > ${p('expiresAt')} then ${t.expiresAt} else ${p('expiresAt')} end` },
      // Within the allowance, or one at a time when the delay is over.
      setWhere: sql`${failures} + ${pending} < ${p('allowance')} or (${failures} >= ${p('allowance')} and ${t.blockedUntil} <= ${p('now')} and ${pending} = 0)`
    }).returning())
  const find = read('find_attempts',
    db.select({ blockedUntil: t.blockedUntil, knownUntil: t.knownUntil, pending }).from(t).where(eq(t.id, p('id'))))

  const next = sql`${failures} + 1`
  const delay = sql`case when ${next} < ${literal(FREE_AT_ADDRESS)} then 0 when ${next} > ${literal(FREE_AT_ADDRESS + 3)} then ${after(LONGEST_DELAY)} else ${now} + ${literal(MINUTE)} * (1 << (${next} - ${literal(FREE_AT_ADDRESS)})) end`
  const failHere = write('fail_attempt', db.update(t)
    .set({ failures: next, pending: released, blockedUntil: delay, forgetAt: after(KEPT), expiresAt: keptUntil(after(KEPT)) })
    .where(eq(t.id, p('id'))).returning({ blockedUntil: t.blockedUntil }))

  const hourEnds = sql`case when ${forgotten} then ${after(HOUR)} else ${t.forgetAt} end`
  const failEverywhere = write('fail_attempt_everywhere', db.update(t)
    .set({
      failures: next,
      pending: released,
      blockedUntil: sql`case when ${next} < ${literal(FREE_EVERYWHERE)} then 0 else ${hourEnds} end`,
      forgetAt: hourEnds,
      expiresAt: after(KEPT)
    })
    .where(eq(t.id, p('id'))).returning({ blockedUntil: t.blockedUntil }))

  const passed = { failures: sql`0`, blockedUntil: sql`0`, forgetAt: set('now'), knownUntil: set('knownUntil'), expiresAt: set('knownUntil') }
  const pass = write('pass_attempt', db.update(t).set({ ...passed, pending: released }).where(eq(t.id, p('id'))).returning({ id: t.id }))
  const release = write('release_attempt', db.update(t).set({ pending: released }).where(eq(t.id, p('id'))).returning({ id: t.id }))
  const know = write('know_address', db.insert(t)
    .values({ id: p('id'), failures: 0, pending: 0, pendingSince: 0, blockedUntil: 0, forgetAt: p('now'), knownUntil: p('knownUntil'), expiresAt: p('knownUntil') })
    .onConflictDoUpdate({ target: t.id, set: { knownUntil: set('knownUntil'), expiresAt: set('knownUntil') } }).returning({ id: t.id }))
  const purge = write('purge_attempts', db.delete(t).where(inArray(t.id,
    db.select({ id: t.id }).from(t).where(lte(t.expiresAt, p('now'))).limit(p('most'))
  )).returning({ id: t.id }))

  const none = { blockedUntil: 0, knownUntil: 0, pending: 0 }
  const blocked = (rows: { blockedUntil: number }[], now: number) => (one(rows)?.blockedUntil ?? 0) > now

  return {
    /** Counts an attempt as under way; undefined when `allowance` is used up by failures and attempts under way, or a delay is running. */
    takeAttempt: async (id: string, allowance: number, now: number) =>
      one(await take({ id, allowance, now, lostBefore: now - LOST_AFTER, expiresAt: now + KEPT })),
    findAttempts: async (id: string, now: number) => one(await find({ id, now, lostBefore: now - LOST_AFTER })) ?? none,
    /** A failure of a name at an address; true when a delay begins. */
    failAttempt: async (id: string, now: number) => blocked(await failHere({ id, now }), now),
    /** A failure of a name at any address; true when the hour's allowance is used up. */
    failAttemptEverywhere: async (id: string, now: number) => blocked(await failEverywhere({ id, now }), now),
    /** A success: failures are forgotten, and the address is known for a while. */
    passAttempt: async (id: string, now: number, knownUntil: number) => { await pass({ id, now, knownUntil }) },
    releaseAttempt: async (id: string) => { await release({ id }) },
    knowAddress: async (id: string, now: number, knownUntil: number) => { await know({ id, now, knownUntil }) },
    /** Deletes counters nobody needs any more; says how many. */
    purgeAttempts: async (now: number, most: number) => (await purge({ now, most })).length
  }
}
