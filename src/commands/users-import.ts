import { type Command, Option } from 'commander'
import { closeSync, createReadStream, openSync, writeSync } from 'node:fs'
import { parseClaims } from '../claims.ts'
import { rehearsalOf } from '../users-import/accounts.ts'
import { readDump } from '../users-import/django.ts'
import { type ImportedUsers, importUsers } from '../users-import/import.ts'
import { bytesOf } from '../users-import/input.ts'
import { readLines } from '../users-import/ndjson.ts'
import { withExamples } from './examples.ts'
import { outputOf } from './output.ts'
import { progressTo, record, Refused, type Terminal, UsageError, withService } from './terminal.ts'

interface Options {
  from: 'django' | 'ndjson'
  model: string
  claims: string
  report?: string
  dryRun?: boolean
}

export function addUserImportCommand (users: Command, program: Command, terminal: Terminal) {
  const { done: tell } = outputOf(program, terminal)
  const command = users.command('import').description('Bring accounts in from another system, with their passwords; what is there already stays')
    .argument('<file>', 'plain, or compressed by gzip; - for standard input')
    .addOption(new Option('--from <form>', 'what manage.py dumpdata wrote, or one JSON object in each line').choices(['django', 'ndjson']).makeOptionMandatory())
    .option('--model <app.model>', 'django: the model of the users', 'auth.user')
    .option('--claims <fields>', 'django: these fields become claims of the access tokens, such as is_staff,is_superuser', '')
    .option('--report <path>', 'write into this file, not to standard error, who was refused and why')
    .option('--dry-run', 'write no account; only tell what would become of each')
  withExamples(command, ['latchkey users import --from django users.json.gz', 'latchkey users import --from ndjson - < users.ndjson', 'latchkey users import --from django users.json --dry-run --report refused.txt'])
    .action((file: string, options: Options) => withService(terminal, async (service) => {
      const { dryRun = false } = options
      const { progress, done } = progressTo(terminal, 'entry read', 'entries read')
      const { report, close } = reportTo(terminal, options.report)
      try {
        const accounts = dryRun ? rehearsalOf(service.store) : service.store
        const ended = async ({ added, known, refused }: ImportedUsers) => {
          done()
          if (!dryRun) await record(service, 'data_imported', { details: { added, known, refused } })
        }
        const imported = await importUsers(read(file, terminal, options), { accounts, now: service.now, report, progress, ended })
        const { added, known, refused } = imported
        tell(`${dryRun ? 'nothing is written; it would be: ' : ''}${summary(imported)}`, { dry_run: dryRun, added, known, refused, skipped: Object.fromEntries(imported.skipped) })
        conclude(imported, options)
      } finally {
        close()
      }
    }, { fills: true }))
}

function read (file: string, terminal: Terminal, { from, model, claims }: Options) {
  const names = claims.split(',').filter((name) => name !== '')
  const bytes = bytesOf(file === '-' ? terminal.input : opened(file))
  return from === 'django' ? readDump(bytes, { model: model.toLowerCase(), claims: names.map(claimName) }) : readLines(bytes)
}

/** Not before somebody reads: a file that is not there would fail with nobody to be told. */
async function * opened (file: string) {
  yield * createReadStream(file)
}

function claimName (name: string): string {
  const parsed = parseClaims(JSON.stringify({ [name]: true }))
  if (parsed.outcome === 'invalid') throw new UsageError(`--claims: ${parsed.reason}`)
  return name
}

/** The names in a report are for the operator alone. */
function reportTo (terminal: Terminal, path: string | undefined) {
  if (path === undefined) return { report: terminal.tell, close: () => {} }
  const file = openReport(path)
  return { report: (line: string) => { writeSync(file, `${line}\n`) }, close: () => closeSync(file) }
}

function openReport (path: string): number {
  try {
    return openSync(path, 'w', 0o600)
  } catch (error) {
    // What node:fs throws is an Error.
    throw new UsageError(`--report: the file cannot be written: ${(error as Error).message}`)
  }
}

function summary ({ added, known, refused, skipped }: ImportedUsers): string {
  const others = [...skipped.values()].reduce((sum, count) => sum + count, 0)
  return `${added} added, ${known} there already, ${refused} refused${others === 0 ? '' : `, ${others} of other models skipped`}`
}

/** More of them would not fit into a line. */
const MODELS_NAMED = 10

function conclude ({ added, known, refused, skipped }: ImportedUsers, { model, report }: Options) {
  if (refused > 0) throw new Refused(`${refused} refused; ${report ?? 'the lines above'} tell${report === undefined ? '' : 's'} why`)
  const others = [...skipped.keys()].slice(0, MODELS_NAMED).join(', ')
  if (added + known === 0 && others !== '') throw new Refused(`there is no ${model} in the file, but ${others}; --model names the model of the users`)
}
