import type { Command } from 'commander'
import { loadConfig } from '../config.ts'
import { migrateDatabase } from '../db/open.ts'
import { type Terminal, UsageError } from './terminal.ts'

export function addMigrateCommand (program: Command, terminal: Terminal) {
  program.command('migrate').description('Bring the tables up to date, as the service does when it starts')
    .option('--check', 'only look: fails when a migration is missing')
    .action(async ({ check = false }: { check?: boolean }) => {
      const { made, upToDate } = await migrateDatabase(loadConfig(terminal.env), { check })
      if (!upToDate) throw new UsageError('migrations are missing; latchkey migrate makes them')
      terminal.print(made === 0 ? 'the tables are up to date' : `the tables are up to date; migrations made: ${made}`)
    })
}
