import type { Command } from 'commander'
import { environment, loadConfig } from '../config.ts'
import { shownSettings } from '../config/shown.ts'
import { withExamples } from './examples.ts'
import { outputOf } from './output.ts'
import type { Terminal } from './terminal.ts'

export function addConfigCommand (program: Command, terminal: Terminal) {
  const { list } = outputOf(program, terminal)
  withExamples(program.command('config').description('Show every setting and where it comes from, without its secrets; fails when one is wrong'),
    ['latchkey config', 'LATCHKEY_ACCESS_TTL=5m latchkey config --json'])
    .action(async () => {
      const env = terminal.env ?? environment()
      await list(shownSettings(env), ['setting', 'value', 'source', 'fault'])
      // What is wrong with none of them alone, such as a name that nobody knows, is told last.
      loadConfig(env)
    })
}
