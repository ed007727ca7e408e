import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { Refused, type Terminal, UsageError } from './terminal.ts'

/** More bytes than any password has. */
const MOST_READ = 65_536

/**
 * A new password: typed twice at a terminal, which does not show it, or else all of standard input, less one line end.
 * @throws Refused
 */
export async function newPassword (terminal: Terminal): Promise<string> {
  if (!terminal.input.isTTY) return await sent(terminal)
  const [first, second] = await typed(terminal, ['New password (it is not shown):', 'Once more:'], { shown: false })
  if (first !== second) throw new Refused('the two passwords differ; nothing was changed')
  return String(first)
}

/**
 * Lets a person confirm by typing `word`; a program says `--yes`.
 * @throws UsageError, Refused
 */
export async function confirm (terminal: Terminal, question: string, word: string): Promise<void> {
  if (!terminal.input.isTTY) throw new UsageError('nobody is at the terminal to confirm it; --yes does')
  const [answer] = await typed(terminal, [question], { shown: true })
  if (answer !== word) throw new Refused('not confirmed; nothing was changed')
}

/** Asks one question after the other. The line editor of Node keeps a terminal from echoing; what it would show itself goes nowhere. */
async function typed ({ input, tell }: Terminal, questions: string[], { shown }: { shown: boolean }): Promise<string[]> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface(shown ? { input } : { input, output: nowhere, terminal: true, historySize: 0 })
  // Whoever types ahead is heard, too: the iterator keeps what comes early.
  const answers = lines[Symbol.asyncIterator]()
  try {
    const given: string[] = []
    for (const question of questions) {
      tell(question)
      const { done, value } = await answers.next()
      if (done) throw new Refused('nothing was typed; nothing was changed')
      given.push(value)
    }
    return given
  } finally {
    lines.close()
  }
}

async function sent ({ input }: Terminal): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of input) {
    chunks.push(Buffer.from(chunk))
    size += chunk.length
    if (size > MOST_READ) throw new Refused('standard input: expected a password')
  }
  const password = decoded(Buffer.concat(chunks)).replace(/\r?\n$/, '')
  if (password === '' || /[\r\n]/.test(password)) throw new Refused('standard input: expected a password in one line')
  return password
}

/** Bytes that are no text must not become a password that other bytes give as well. */
function decoded (bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Refused('standard input: expected a password in UTF-8')
  }
}
