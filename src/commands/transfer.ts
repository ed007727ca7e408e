import type { Command } from 'commander'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { exportLines } from '../transfer/export.ts'
import { importLines } from '../transfer/import.ts'
import { withExamples } from './examples.ts'
import { outputOf } from './output.ts'
import { cell } from './table.ts'
import { progressTo, record, Refused, type Terminal, withKeys } from './terminal.ts'

const REFUSED_SHOWN = 20

export function addTransferCommands (program: Command, terminal: Terminal) {
  const { done: print } = outputOf(program, terminal)

  withExamples(program.command('export').description('Write users, sessions and signing keys to standard output, one line of JSON each'),
    ['(umask 077; latchkey export > latchkey.ndjson)'])
    .action(() => withKeys(terminal, async (service) => {
      const { progress, done } = progressTo(terminal, 'row exported', 'rows exported')
      await pipeline(Readable.from(exportLines(service, progress)), terminal.output, { end: false })
      done()
    }))

  withExamples(program.command('import').description('Read from standard input what latchkey export wrote; what is there already stays'),
    ['latchkey import < latchkey.ndjson'])
    .action(() => withKeys(terminal, async (service) => {
      const { progress, done } = progressTo(terminal, 'row read', 'rows read')
      const { added, known, refused } = await importLines(service, linesOf(terminal), progress)
      done()
      await record(service, 'data_imported', { details: { added, known, refused: refused.length } })
      print(`${added} added, ${known} there already, ${refused.length} refused`, { added, known, refused })
      if (refused.length > 0) throw new Refused(`refused, for another account has the name or there is no such user: ${shown(refused)}`)
    }, { fills: true }))
}

/** Readline reads as soon as it is made, and what nobody takes is lost: so it is made by whoever takes the first line. */
async function * linesOf ({ input }: Terminal): AsyncGenerator<string> {
  yield * createInterface({ input })
}

function shown (refused: string[]): string {
  const more = refused.length - REFUSED_SHOWN
  return refused.slice(0, REFUSED_SHOWN).map(cell).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
