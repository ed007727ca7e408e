import type { Command } from 'commander'
import { setTimeout as delay } from 'node:timers/promises'
import type { Store } from '../db/open.ts'
import { pages, PURGED_AT_ONCE } from '../pages.ts'
import { withExamples } from './examples.ts'
import { findUser } from './find-user.ts'
import { outputOf, time } from './output.ts'
import { progressTo, record, Refused, type Service, type Terminal, UsageError, withService } from './terminal.ts'

/** A pause (ms) for those who wait for the database. */
const PAUSE = 10

type Shown = Pick<Awaited<ReturnType<Store['listJudgedSessions']>>[number], 'id' | 'username' | 'createdAt' | 'rotatedAt' | 'idleExpiresAt' | 'expiresAt' | 'ip' | 'userAgent'>

export function addSessionCommands (program: Command, terminal: Terminal) {
  const sessions = program.command('sessions').description('Where people are logged in')
  const { done, list } = outputOf(program, terminal)

  withExamples(sessions.command('list').description('Show the live sessions, the oldest first').option('--user <name>', 'of this account alone: username or e-mail address'),
    ['latchkey sessions list', 'latchkey sessions list --user ada --json'])
    .action(({ user }: { user?: string }) => withService(terminal, (service) =>
      list(user === undefined ? ofAll(service) : ofUser(service, user), ['id', 'username', 'last_used_at', 'ip', 'user_agent'])))

  withExamples(sessions.command('revoke').description('End a session, or every session of an account').argument('[id]', 'of the session')
    .option('--user <name>', 'every session of this account: username or e-mail address'),
  ['latchkey sessions revoke 01a21488-16d7-75cc-8884-0f156b1d6b72', 'latchkey sessions revoke --user ada'])
    .action((given: string | undefined, { user }: { user?: string }) => withService(terminal, async (service) => {
      // As over HTTP, a UUID may be in capitals (RFC 9562 §4).
      const id = given?.toLowerCase()
      if (id !== undefined && user === undefined) {
        await revokeOne(service, id)
        done(`${id} is over`, { session_id: id })
      } else if (user !== undefined && id === undefined) {
        const { username, id: userId } = await revokeAll(service, user)
        done(`every session of ${username} is over`, { user_id: userId })
      } else {
        throw new UsageError('expected the id of a session, or --user')
      }
    }))

  withExamples(sessions.command('prune').description('Delete the rows of sessions that have expired, as the service does every ten minutes'), ['latchkey sessions prune'])
    .action(() => withService(terminal, async (service) => {
      const deleted = await prune(service, terminal)
      done(`${deleted} expired sessions deleted`, { deleted })
    }))
}

async function * ofAll ({ store, now }: Service) {
  for await (const session of pages((after, most) => store.listJudgedSessions(after, most, now()))) {
    if (Number(session.live) === 1) yield shown(session)
  }
}

async function * ofUser ({ store, now }: Service, name: string) {
  const { id, username } = await findUser(store, name)
  for (const session of await store.listLiveSessions(id, now())) yield shown({ ...session, username })
}

function shown ({ id, username, createdAt, rotatedAt, idleExpiresAt, expiresAt, ip, userAgent }: Shown) {
  return {
    id,
    username,
    created_at: time(createdAt),
    last_used_at: time(rotatedAt),
    expires_at: time(Math.min(idleExpiresAt, expiresAt)),
    ip,
    user_agent: userAgent
  }
}

async function revokeOne (service: Service, id: string) {
  const { store, now } = service
  const userId = await store.revokeSession(id, now(), 'operator')
  if (userId === undefined) throw new Refused('there is no such session, or it is revoked; see latchkey sessions list')
  await record(service, 'session_revoked', { userId, sessionId: id })
}

async function revokeAll (service: Service, name: string) {
  const user = await findUser(service.store, name)
  await service.store.endSessionsOfUser(user.id)
  await record(service, 'session_revoked', { userId: user.id, details: { all: true } })
  return user
}

async function prune ({ store, now }: Service, terminal: Terminal): Promise<number> {
  const { progress } = progressTo(terminal, 'session deleted', 'sessions deleted')
  let total = 0
  for (let deleted = PURGED_AT_ONCE; deleted === PURGED_AT_ONCE; await delay(PAUSE)) {
    deleted = await store.purgeSessions(now(), PURGED_AT_ONCE)
    progress(total += deleted)
  }
  return total
}
