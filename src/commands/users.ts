import type { Command } from 'commander'
import type { Store, User } from '../db/open.ts'
import { pages } from '../pages.ts'
import { newUser, presentUser } from '../users.ts'
import { checkNames, checkPassword, claimsOf } from './account-rules.ts'
import { addAccountCommands } from './accounts.ts'
import { withExamples } from './examples.ts'
import { findUser } from './find-user.ts'
import { outputOf, time } from './output.ts'
import { refusePasswordArgument, withPasswords } from './passwords.ts'
import { record, Refused, type Terminal, withService } from './terminal.ts'
import { newPassword } from './typed.ts'
import { addUserImportCommand } from './users-import.ts'

interface NewAccount {
  email?: string
  claims: string
}

export function addUserCommands (program: Command, terminal: Terminal) {
  const users = program.command('users').description('The accounts')
  const { list, show } = outputOf(program, terminal)

  withExamples(users.command('list').description('Show every account'), ['latchkey users list', 'latchkey users list --json'])
    .action(() => withService(terminal, ({ store }) => list(shownUsers(store), ['id', 'state', 'username', 'email'])))

  withExamples(users.command('show').description('Show an account').argument('<name>', 'username or e-mail address'), ['latchkey users show ada'])
    .action((name: string) => withService(terminal, async ({ store }) => show(shownUser(await findUser(store, name)))))

  const create = users.command('create').description('Make an account; the password is asked for, or read from standard input')
    .argument('<name>', 'the username')
    .option('--email <address>', 'its e-mail address')
    .option('--claims <json>', 'what it adds to its access tokens', '{}')
  withExamples(refusePasswordArgument(create), ['latchkey users create ada --email ada@example.com', 'latchkey users create ada < password.txt'])
    .action((name: string, account: NewAccount) => createUser(program, terminal, { name, ...account }))

  addAccountCommands(users, program, terminal)
  addUserImportCommand(users, program, terminal)
}

async function createUser (program: Command, terminal: Terminal, { name, email, claims }: NewAccount & { name: string }) {
  const { done } = outputOf(program, terminal)
  const parsed = claimsOf(claims)
  checkNames({ username: name, email })
  await withPasswords(terminal, async ({ hash, settings, ...service }) => {
    const { store, now } = service
    const password = await newPassword(terminal)
    checkPassword(password, { username: name, email }, settings)
    const user = newUser({ username: name, email, passwordHash: await hash(password), claims: parsed }, now())
    if (await store.insertUser(user) === undefined) throw new Refused('another account has the username or the e-mail address')
    await record(service, 'user_created', { userId: user.id })
    done(`${user.username} is created, with the id ${user.id}`, shownUser(user))
  }, { fills: true })
}

async function * shownUsers (store: Store) {
  for await (const user of pages(store.listUsers)) yield shownUser(user)
}

function shownUser (user: User) {
  return {
    ...presentUser(user),
    state: user.disabledAt === null ? 'active' : 'disabled',
    disabled_at: time(user.disabledAt),
    external_id: user.externalId,
    // It was stored as JSON.
    claims: JSON.parse(user.claims) as unknown
  }
}
