import { readFileSync } from 'node:fs'
import t from 'tap'
import { exitCodes } from '../src/exit-codes.ts'
import { folder } from './fixtures/app.ts'
import { commandLine, everyCommand } from './fixtures/commands.ts'

const page = readFileSync('docs/command-line.md', 'utf8')
const latchkey = commandLine(folder(t))
const all = await everyCommand(latchkey)

t.test('docs/command-line.md has a section, with an example, for every command of --help, and no others', async (t) => {
  t.ok(all.length > 20)
  const sections = page.split(/^#+ /m).filter((section) => section.startsWith('latchkey '))
  const titleOf = (section: string) => section.slice(0, section.indexOf('\n'))
  t.strictSame(sections.map(titleOf).toSorted(), all.toSorted())
  for (const section of sections) t.match(section, new RegExp(`\`\`\`sh\n[^\`]*${titleOf(section)}\\b`), titleOf(section))
})

t.test('every command of --help shows examples of itself', async (t) => {
  for (const command of all) t.match((await latchkey(...command.split(' ').slice(1), '--help')).join('\n'), new RegExp(`\nFor example:\n +\\$ .*${command}\\b`), command)
})

t.test('docs/command-line.md lists every exit code', async (t) => {
  t.strictSame([...page.matchAll(/^\| (\d) \|/gm)].map(([, code]) => Number(code)), Object.values(exitCodes))
})
