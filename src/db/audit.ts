import { and, asc, eq, gt, gte, inArray, isNull, lt, or, sql } from 'drizzle-orm'
import type { Dialect } from './dialect.ts'
import { p, placeholders } from './statements.ts'
import type { Tables } from './tables.ts'

export type AuditEvent = Tables['auditEvents']['$inferSelect']

interface AuditFilter {
  /** Null for any. */
  userId: string | null
  event: string | null
  since: number
}

export function auditQueries ({ db, read, write }: Dialect, { auditEvents: t }: Tables) {
  const insert = write('insert_audit_event', db.insert(t).values(placeholders(t)).returning({ id: t.id }))
  const given = (name: string) => sql`cast(${p(name)} as text)`
  const list = read('list_audit_events', db.select().from(t)
    .where(and(
      gt(t.id, p('after')),
      gte(t.at, p('since')),
      or(isNull(given('userId')), eq(t.userId, given('userId'))),
      or(isNull(given('event')), eq(t.event, given('event')))
    ))
    .orderBy(asc(t.id)).limit(p('most')))
  const purge = write('purge_audit_events', db.delete(t).where(inArray(t.id,
    db.select({ id: t.id }).from(t).where(lt(t.at, p('before'))).limit(p('most'))
  )).returning({ id: t.id }))

  return {
    insertAuditEvent: async (event: AuditEvent) => { await insert(event) },
    /** A page of events, the oldest first, that come after the id `after`. */
    listAuditEvents: ({ userId, event, since }: AuditFilter, after: string, most: number) => list({ userId, event, since, after, most }),
    /** Deletes events from before a moment; says how many. */
    purgeAuditEvents: async (before: number, most: number) => (await purge({ before, most })).length
  }
}
