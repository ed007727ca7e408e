import { Command, CommanderError } from 'commander'
import { addAuditCommand } from './commands/audit.ts'
import { addKeyCommands } from './commands/keys.ts'
import { addMigrateCommand } from './commands/migrate.ts'
import { type Terminal, UsageError } from './commands/terminal.ts'
import { addTransferCommands } from './commands/transfer.ts'
import { addUserCommands } from './commands/users.ts'

/** The id of a key may begin with a hyphen, and is no option for that. */
const KEY_ID = /^-[\w-]{42}$/

/**
 * The command line. It opens the same database as the service, which may run meanwhile.
 * @param args without the program's own name
 * @throws UsageError, ConfigError
 */
export async function run (args: string[], terminal: Terminal): Promise<void> {
  const program = new Command('latchkey')
    .description('Operate Latchkey. It reads the same settings as the service.')
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.print(text.trimEnd()), writeErr: () => {} })
  addKeyCommands(program, terminal)
  addUserCommands(program, terminal)
  addAuditCommand(program, terminal)
  addMigrateCommand(program, terminal)
  addTransferCommands(program, terminal)
  try {
    await program.parseAsync(args.flatMap((arg) => KEY_ID.test(arg) ? ['--', arg] : [arg]), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode !== 0) throw new UsageError(usage(error))
  }
}

function usage ({ code, message }: CommanderError): string {
  return code === 'commander.help' ? 'expected a command; latchkey --help lists them' : message.replace(/^error: /, '').replace('\n', ' ')
}
