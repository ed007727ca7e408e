import { type Static, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { TextDecoder } from 'node:util'
import { ImportError } from '../transfer/import.ts'
import { type Entry, faultOf } from './entries.ts'

const LONGEST_LINE = 65_536

const text = Type.Optional(Type.Union([Type.String(), Type.Null()]))

/** Closed, so that a mistyped name is told. */
const Account = Type.Object({
  username: Type.String(),
  email: text,
  email_verified: Type.Optional(Type.Boolean()),
  password_hash: Type.String(),
  external_id: text,
  disabled: Type.Optional(Type.Boolean()),
  claims: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  created_at: text,
  last_login_at: text
}, { additionalProperties: false })
const accounts = TypeCompiler.Compile(Account)

/**
 * The entries of a file with one JSON object in each line.
 * @throws ImportError when that is not what it is.
 */
export async function * readLines (bytes: AsyncIterable<Buffer>): AsyncGenerator<Entry> {
  let number = 0
  for await (const line of linesOf(bytes)) {
    number += 1
    if (line.trim() === '') continue
    const where = `line ${number}`
    const value = parse(line, where)
    yield accounts.Check(value) ? { where, incoming: incomingOf(value) } : { where, reason: faultOf(accounts, value) }
  }
}

/** Not by readline, which takes U+2028 within a string for the end of a line. */
async function * linesOf (bytes: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  for await (const chunk of bytes) {
    const parts = `${rest}${decode(decoder, chunk)}`.split('\n')
    rest = parts.pop() ?? ''
    if (rest.length > LONGEST_LINE) throw new ImportError(`expected one JSON object in each line, of at most ${LONGEST_LINE} characters`)
    yield * parts
  }
  yield rest + decode(decoder)
}

function decode (decoder: TextDecoder, chunk?: Buffer): string {
  try {
    return decoder.decode(chunk, { stream: chunk !== undefined })
  } catch {
    throw new ImportError('the file is no UTF-8')
  }
}

function parse (line: string, where: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    throw new ImportError(`${where}: expected a JSON object; this is none, or the file ends too soon`)
  }
}

function incomingOf (account: Static<typeof Account>) {
  return {
    username: account.username,
    email: account.email ?? null,
    emailVerified: account.email_verified ?? false,
    passwordHash: account.password_hash,
    externalId: account.external_id ?? null,
    disabled: account.disabled ?? false,
    claims: account.claims ?? {},
    createdAt: account.created_at ?? null,
    lastLoginAt: account.last_login_at ?? null
  }
}
