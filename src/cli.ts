#!/usr/bin/env node
import { run } from './commands.ts'
import { json } from './commands/table.ts'
import { Refused, UsageError } from './commands/terminal.ts'
import { exitCodes } from './exit-codes.ts'
import { exitCodeOf, explain } from './start-errors.ts'

const { stdin: input, stdout: output } = process
const args = process.argv.slice(2)

// Whoever reads may have enough, as `head` has; that is no failure.
output.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') process.exit(exitCodes.done)
  fail(new Refused(`the output cannot be written (${code})`))
})

run(args, { print: console.log, tell: console.error, input, output, styled: output.isTTY && output.hasColors() }).catch(fail)

function fail (error: unknown): never {
  const ours = error instanceof UsageError || error instanceof Refused
  const code = ours ? error.exitCode : exitCodeOf(error)
  const told = ours ? `latchkey: ${error.message}` : explain(error)
  console.error(args.includes('--json') ? json({ error: String(told).replace(/^latchkey: /gm, ''), exit_code: code }) : told)
  process.exit(code)
}
