import { type Command, Option } from 'commander'
import { type Config, loadConfig } from '../config.ts'
import { createPasswords } from '../passwords.ts'
import { type Manner, type Service, type Terminal, UsageError, withService } from './terminal.ts'

interface PasswordService extends Service {
  hash: (password: string) => Promise<string>
  settings: Config
}

/** Works on the database of the service, and can hash passwords. */
export async function withPasswords (terminal: Terminal, work: (service: PasswordService) => Promise<void>, manner: Pick<Manner, 'fills'> = {}) {
  const settings = loadConfig(terminal.env)
  const { hash, close } = createPasswords(settings)
  try {
    await withService(terminal, (service) => work({ ...service, hash, settings }), { settings, ...manner })
  } finally {
    await close()
  }
}

/** Whoever gives a password as an argument is told why not; the arguments of a process are for all to see, and stay in the shell's history. */
export function refusePasswordArgument (command: Command): Command {
  const refuse = () => { throw new UsageError('a password is no argument, for others can see those: type it when asked, or send it to standard input') }
  return command.addOption(new Option('-p, --password [value]').argParser(refuse).hideHelp())
}
