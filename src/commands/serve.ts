import type { Command } from 'commander'
import { withExamples } from './examples.ts'
import type { Terminal } from './terminal.ts'

export function addServeCommand (program: Command, terminal: Terminal) {
  withExamples(program.command('serve').description('Run the service until a signal ends it'), ['latchkey serve', 'PORT=8080 latchkey serve'])
    .action(async () => {
      // No other command needs it, and it takes longest to load.
      const { serve } = await import('../serve.ts')
      await serve(terminal.env)
    })
}
