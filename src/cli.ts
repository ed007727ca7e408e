#!/usr/bin/env node
import { run } from './commands.ts'
import { UsageError } from './commands/terminal.ts'
import { explain } from './start-errors.ts'

run(process.argv.slice(2), { print: console.log, tell: console.error, input: process.stdin, output: process.stdout }).catch((error: unknown) => {
  console.error(error instanceof UsageError ? `latchkey: ${error.message}` : explain(error))
  process.exitCode = 1
})
