import type { Command } from 'commander'
import { auditEvents } from '../audit.ts'
import { milliseconds } from '../config/kinds.ts'
import type { AuditEvent, Store } from '../db/open.ts'
import { pages } from '../pages.ts'
import { withExamples } from './examples.ts'
import { findUser } from './find-user.ts'
import { outputOf, time } from './output.ts'
import { type Terminal, UsageError, withService } from './terminal.ts'

interface Options {
  user?: string
  event?: string
  since?: string
}

type Filter = Parameters<Store['listAuditEvents']>[0]

export function addAuditCommand (program: Command, terminal: Terminal) {
  const { list } = outputOf(program, terminal)
  withExamples(program.command('audit').description('Show what happened, the oldest first')
    .option('--user <name>', 'of this account alone: username or e-mail address')
    .option('--event <event>', 'of this kind alone, such as authn_login_fail')
    .option('--since <when>', 'a time such as 2026-01-31T12:00:00Z, or how long ago, such as 24h'),
  ['latchkey audit --since 24h', 'latchkey audit --user ada --event authn_login_fail --json'])
    .action(({ user, event, since }: Options) => withService(terminal, async ({ store, now }) => {
      const filter = {
        userId: user === undefined ? null : (await findUser(store, user)).id,
        event: event === undefined ? null : knownEvent(event),
        since: since === undefined ? 0 : moment(since, now())
      }
      await list(events(store, filter), ['at', 'event', 'user_id', 'ip', 'details'])
    }))
}

async function * events (store: Store, filter: Filter) {
  for await (const event of pages((after, most) => store.listAuditEvents(filter, after, most))) yield shown(event)
}

function shown ({ at, event, userId, sessionId, ip, userAgent, requestId, details }: AuditEvent) {
  return {
    at: time(at),
    event,
    user_id: userId,
    session_id: sessionId,
    ip,
    user_agent: userAgent,
    request_id: requestId,
    // It was stored as JSON.
    details: details && JSON.parse(details) as unknown
  }
}

function knownEvent (event: string): string {
  if (!auditEvents.some((one) => one === event)) throw new UsageError(`--event: expected one of ${auditEvents.join(', ')}`)
  return event
}

function moment (since: string, now: number): number {
  const ago = milliseconds(since)
  const time = Number.isNaN(ago) ? Date.parse(hasDate(since) ? since : '') : now - ago
  if (Number.isNaN(time)) throw new UsageError('--since: expected a time such as 2026-01-31T12:00:00Z, or how long ago, such as 24h')
  // Nothing happened before, and PostgreSQL refuses what is no bigint.
  return Math.max(0, time)
}

/** Date.parse would take a mere number for a month or a year, and the 31st of February for a day of March. */
function hasDate (since: string): boolean {
  const [date = '', day] = /^\d{4}-\d\d-(\d\d)/.exec(since) ?? []
  return new Date(date).getUTCDate() === Number(day)
}
