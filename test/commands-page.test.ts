import { readFileSync } from 'node:fs'
import t from 'tap'
import { exitCodes } from '../src/exit-codes.ts'
import { folder } from './fixtures/app.ts'
import { commandLine } from './fixtures/commands.ts'

const page = readFileSync('docs/command-line.md', 'utf8')
const latchkey = commandLine(folder(t))
const help = async (...command: string[]) => (await latchkey(...command, '--help')).join('\n')

/** The commands that `--help` of a command lists, each with the words before it; one that has commands of its own is left out. */
async function commands (...words: string[]): Promise<string[]> {
  const [, listed = ''] = (await help(...words)).split('\nCommands:\n')
  const names = [...listed.matchAll(/^ {2}([\w-]+)/gm)].map(([, name = '']) => name).filter((name) => name !== 'help')
  if (names.length === 0) return [['latchkey', ...words].join(' ')]
  return (await Promise.all(names.map((name) => commands(...words, name)))).flat()
}

const all = await commands()

t.test('docs/command-line.md has a section, with an example, for every command of --help, and no others', async (t) => {
  t.ok(all.length > 20)
  const sections = page.split(/^#+ /m).filter((section) => section.startsWith('latchkey '))
  const titleOf = (section: string) => section.slice(0, section.indexOf('\n'))
  t.strictSame(sections.map(titleOf).toSorted(), all.toSorted())
  for (const section of sections) t.match(section, new RegExp(`\`\`\`sh\n[^\`]*${titleOf(section)}\\b`), titleOf(section))
})

t.test('every command of --help shows examples of itself', async (t) => {
  for (const command of all) t.match(await help(...command.split(' ').slice(1)), new RegExp(`\nFor example:\n +\\$ .*${command}\\b`), command)
})

t.test('docs/command-line.md lists every exit code', async (t) => {
  t.strictSame([...page.matchAll(/^\| (\d) \|/gm)].map(([, code]) => Number(code)), Object.values(exitCodes))
})
