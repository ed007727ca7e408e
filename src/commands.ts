import { Command, CommanderError } from 'commander'
import { addAuditCommand } from './commands/audit.ts'
import { addConfigCommand } from './commands/config.ts'
import { addKeyCommands } from './commands/keys.ts'
import { addMigrateCommand } from './commands/migrate.ts'
import { addOpenapiCommand } from './commands/openapi.ts'
import { addServeCommand } from './commands/serve.ts'
import { addSessionCommands } from './commands/sessions.ts'
import { type Terminal, UsageError } from './commands/terminal.ts'
import { addTransferCommands } from './commands/transfer.ts'
import { addUserCommands } from './commands/users.ts'
import { version } from './version.ts'

/** The id of a key may begin with a hyphen, and is no option for that. */
const KEY_ID = /^-[\w-]{42}$/

const families = [
  addServeCommand, addMigrateCommand, addConfigCommand, addOpenapiCommand, addUserCommands, addSessionCommands, addKeyCommands,
  addAuditCommand, addTransferCommands
]

/**
 * The command line. It opens the same database as the service, which may run meanwhile.
 * @param args without the program's own name
 * @throws UsageError, Refused, ConfigError, and what a database throws
 */
export async function run (args: string[], terminal: Terminal): Promise<void> {
  const program = new Command('latchkey')
    .description('Operate Latchkey. It reads the same settings as the service.')
    .version(version(), '-V, --version', 'Print the version')
    .option('--json', 'Print JSON: a document, or a line for each row')
    .helpOption('-h, --help', 'Show what can be typed')
    .helpCommand('help [command]', 'Show what can be typed')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.print(text.trimEnd()), writeErr: () => {} })
  for (const addCommands of families) addCommands(program, terminal)
  try {
    await program.parseAsync(withKeyIdsLast(args), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode !== 0) throw new UsageError(usage(error))
  }
}

/** Behind `--` nothing is an option. */
function withKeyIdsLast (args: string[]): string[] {
  const ids = args.filter((arg) => KEY_ID.test(arg))
  return ids.length === 0 ? args : [...args.filter((arg) => !KEY_ID.test(arg)), '--', ...ids]
}

/** In one line, and without the value of an option that nobody knows: it may be a password. */
function usage ({ code, message }: CommanderError): string {
  return code === 'commander.help' ? 'expected a command; latchkey --help lists them' : message.replace(/^error: /, '').replace('\n', ' ').replace(/(unknown option '[^=]+)=.*'/s, '$1\'')
}
