import type { Command } from 'commander'
import type { AuditEventName, AuditSubject } from '../audit.ts'
import type { Store, User } from '../db/open.ts'
import { emailKey } from '../identity.ts'
import { checkEmail, checkNames, checkPassword, claimsOf } from './account-rules.ts'
import { withExamples } from './examples.ts'
import { findUser } from './find-user.ts'
import { outputOf } from './output.ts'
import { refusePasswordArgument, withPasswords } from './passwords.ts'
import { record, Refused, type Service, type Terminal, withService } from './terminal.ts'
import { confirm, newPassword } from './typed.ts'

/** What became of an account: a sentence that follows its name, and what is recorded when anything changed. */
interface Change {
  sentence: string
  event: AuditEventName
  details?: AuditSubject['details']
  changed?: boolean
}

/** The commands that change one account. */
export function addAccountCommands (users: Command, program: Command, terminal: Terminal) {
  const { done } = outputOf(program, terminal)
  const one = (name: string, description: string, example: string) =>
    withExamples(users.command(name).description(description).argument('<name>', 'username or e-mail address'), [`latchkey users ${name} ${example}`])

  async function apply (service: Service, user: User, { sentence, event, details, changed = true }: Change) {
    if (changed) await record(service, event, { userId: user.id, ...(details && { details }) })
    done(`${user.username} ${sentence}`, { id: user.id, username: user.username, changed })
  }
  const change = (name: string, work: (user: User, service: Service) => Promise<Change>) => withService(terminal, async (service) => {
    const user = await findUser(service.store, name)
    await apply(service, user, await work(user, service))
  })

  one('disable', 'Disable an account and end its sessions', 'ada').action((name: string) => change(name, async ({ id }, { store, now }) =>
    ({ sentence: 'is disabled; every session is over', event: 'user_disabled', changed: await store.disableUser(id, now()) })))

  one('enable', 'Enable an account again', 'ada').action((name: string) => change(name, async ({ id }, { store }) =>
    ({ sentence: 'is enabled', event: 'user_enabled', changed: await store.enableUser(id) })))

  one('delete', 'Delete an account with its sessions', 'ada --yes').option('--yes', 'do not ask')
    .action((name: string, { yes }: { yes?: true }) => change(name, async (user, { store }) => {
      if (!yes) await confirm(terminal, `Delete ${user.username} (${user.id})? Type the username to confirm:`, user.username)
      return { sentence: 'is deleted, and every session with it', event: 'user_deleted', changed: await store.deleteUser(user.id) }
    }))

  refusePasswordArgument(one('set-password', 'Set the password and end every session; it is asked for, or read from standard input', 'ada < password.txt'))
    .action((name: string) => withPasswords(terminal, async ({ hash, settings, ...service }) => {
      const user = await findUser(service.store, name)
      const password = await newPassword(terminal)
      checkPassword(password, user, settings)
      const changed = await service.store.setPassword(user.id, await hash(password))
      await apply(service, user, { sentence: 'has a new password; every session is over', event: 'authn_password_change', changed })
    }))

  one('set-email', 'Set the e-mail address; a username that is the address follows', 'ada ada@example.com --verified')
    .argument('<address>', 'the new e-mail address').option('--verified', 'the address is known to be theirs')
    .action((name: string, email: string, { verified = false }: { verified?: boolean }) => change(name, (user, { store }) => setEmail(store, user, { email, verified })))

  one('set-claims', 'Set the claims that an account adds to its access tokens', 'ada \'{"is_admin":true}\'').argument('<json>', '\'{}\' for none')
    .action((name: string, json: string) => change(name, async ({ id }, { store }) => {
      const claims = claimsOf(json)
      const changed = await store.setClaims(id, claims)
      return { sentence: `has the claims ${claims} from the next login or refresh on`, event: 'user_updated', details: { claims: JSON.parse(claims) as unknown }, changed }
    }))
}

async function setEmail (store: Store, user: User, { email, verified }: { email: string, verified: boolean }): Promise<Change> {
  const follows = user.usernameKey.includes('@')
  if (follows) checkNames({ username: email, email })
  else checkEmail(email)
  // It was found to be an address, so it has one.
  const key = emailKey(email) as string
  const names = follows ? { username: email.normalize('NFKC'), usernameKey: key } : user
  const { username, usernameKey } = names
  if (!await store.setEmail({ id: user.id, email, emailKey: key, verified, username, usernameKey })) throw new Refused('another account has the e-mail address')
  return { sentence: `has the address ${email}`, event: 'user_updated', details: { email_verified: verified } }
}
