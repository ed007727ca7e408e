import type { Command } from 'commander'
import { parseClaims } from '../claims.ts'
import type { Store, User } from '../db/open.ts'
import { pages } from '../pages.ts'
import { findUserByName } from '../users.ts'
import { record, type Service, type Terminal, UsageError, withService } from './terminal.ts'
import { addUserImportCommand } from './users-import.ts'

export function addUserCommands (program: Command, terminal: Terminal) {
  const users = program.command('users').description('The accounts')
  const one = (name: string, description: string) => users.command(name).description(description).argument('<name>', 'username or e-mail address')
  const act = (name: string, action: (user: User, service: Service) => Promise<string>) => withService(terminal, async (service) => {
    terminal.print(await action(await findUser(service.store, name), service))
  })

  users.command('list').description('Show every account').action(() => withService(terminal, async ({ store }) => {
    for await (const user of pages(store.listUsers)) terminal.print(`${user.id}  ${user.disabledAt === null ? 'active  ' : 'disabled'}  ${user.username}`)
  }))

  one('show', 'Show an account').action((name: string) => act(name, async ({ passwordHash, ...user }) => JSON.stringify(user, null, 2)))

  one('disable', 'Disable an account and end its sessions').action((name: string) => act(name, async ({ id, username }, service) => {
    if (await service.store.disableUser(id, service.now())) await record(service, 'user_disabled', { userId: id })
    return `${username} is disabled; every session is over`
  }))

  one('enable', 'Enable an account again').action((name: string) => act(name, async ({ id, username }, service) => {
    if (await service.store.enableUser(id)) await record(service, 'user_enabled', { userId: id })
    return `${username} is enabled`
  }))

  one('claims', 'Set the claims that an account adds to its access tokens').argument('<json>', 'such as \'{"is_admin":true}\'; \'{}\' for none')
    .action((name: string, json: string) => act(name, async ({ id, username }, service) => {
      const parsed = parseClaims(json)
      if (parsed.outcome === 'invalid') throw new UsageError(`claims: ${parsed.reason}`)
      await service.store.setClaims(id, parsed.claims)
      await record(service, 'user_updated', { userId: id, details: { claims: parsed.claims } })
      return `${username} has the claims ${parsed.claims} from the next login or refresh on`
    }))

  addUserImportCommand(users, terminal)
}

/** @throws UsageError */
export async function findUser (store: Store, name: string): Promise<User> {
  const user = await findUserByName(store, name)
  if (user === undefined) throw new UsageError('there is no such user')
  return user
}
