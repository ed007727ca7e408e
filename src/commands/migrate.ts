import type { Command } from 'commander'
import { loadConfig } from '../config.ts'
import { migrateDatabase } from '../db/open.ts'
import { withExamples } from './examples.ts'
import { outputOf } from './output.ts'
import { expectDatabase, type Terminal } from './terminal.ts'

export function addMigrateCommand (program: Command, terminal: Terminal) {
  const { done } = outputOf(program, terminal)
  withExamples(program.command('migrate').description('Bring the tables up to date, as the service does when it starts')
    .option('--check', 'only look: fails when a migration is missing'), ['latchkey migrate', 'latchkey migrate --check'])
    .action(async ({ check = false }: { check?: boolean }) => {
      const settings = loadConfig(terminal.env)
      if (check) await expectDatabase(settings)
      const made = check ? 0 : (await migrateDatabase(settings, { check })).made
      done(made === 0 ? 'the tables are up to date' : `the tables are up to date; migrations made: ${made}`, { made })
    })
}
