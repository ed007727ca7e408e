import type { Command } from 'commander'

/** Has `--help` end with lines that can be typed as they are. */
export function withExamples (command: Command, examples: string[]): Command {
  return command.addHelpText('after', `\nFor example:\n${examples.map((example) => `  $ ${example}`).join('\n')}`)
}
