import type { Command } from 'commander'
import { auditEvents } from '../audit.ts'
import { milliseconds } from '../config/kinds.ts'
import { pages } from '../pages.ts'
import { type Terminal, UsageError, withService } from './terminal.ts'
import { findUser } from './users.ts'

interface Options {
  user?: string
  event?: string
  since?: string
}

export function addAuditCommand (program: Command, terminal: Terminal) {
  program.command('audit').description('Show what happened, the oldest first; one line of JSON for each event')
    .option('--user <name>', 'of this account alone: username or e-mail address')
    .option('--event <event>', 'of this kind alone, such as authn_login_fail')
    .option('--since <when>', 'a time such as 2026-01-31T12:00:00Z, or how long ago, such as 24h')
    .action(({ user, event, since }: Options) => withService(terminal, async ({ store, now }) => {
      const filter = {
        userId: user === undefined ? null : (await findUser(store, user)).id,
        event: event === undefined ? null : knownEvent(event),
        since: since === undefined ? 0 : moment(since, now())
      }
      for await (const { id, at, details, ...rest } of pages((after, most) => store.listAuditEvents(filter, after, most))) {
        terminal.print(JSON.stringify({ at: new Date(at).toISOString(), ...rest, details: details && JSON.parse(details) }))
      }
    }))
}

function knownEvent (event: string): string {
  if (!auditEvents.some((one) => one === event)) throw new UsageError(`--event: expected one of ${auditEvents.join(', ')}`)
  return event
}

function moment (since: string, now: number): number {
  const ago = milliseconds(since)
  // Date.parse would take a mere number for a month or a year.
  const time = Number.isNaN(ago) ? Date.parse(/^\d{4}-\d\d-\d\d/.test(since) ? since : '') : now - ago
  if (Number.isNaN(time)) throw new UsageError('--since: expected a time such as 2026-01-31T12:00:00Z, or how long ago, such as 24h')
  return time
}
