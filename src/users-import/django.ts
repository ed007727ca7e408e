import { type Static, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { streamArray } from 'stream-json/streamers/stream-array.js'
import { verifier, type VerifierError } from 'stream-json/utils/verifier.js'
import { ImportError } from '../transfer/import.ts'
import { type Entry, faultOf, printable } from './entries.ts'

interface DumpOptions {
  /** As `app.model`, in lower case. */
  model: string
  /** Fields that become claims. */
  claims: string[]
}

const TextOrNull = Type.Optional(Type.Union([Type.String(), Type.Null()]))

const items = TypeCompiler.Compile(Type.Object({ model: Type.String() }))

/** A number beyond these has lost its last digits on the way. */
const Pk = Type.Union([Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }), Type.String()])

/** What is known of a user model; all else it may have. */
const User = Type.Object({
  pk: Pk,
  fields: Type.Object({
    username: Type.Optional(Type.String()),
    email: TextOrNull,
    password: Type.String(),
    is_active: Type.Optional(Type.Boolean()),
    date_joined: TextOrNull,
    last_login: TextOrNull
  })
})
const users = TypeCompiler.Compile(User)

/**
 * The entries of what `manage.py dumpdata` wrote, of which there is never more than one item in memory.
 * @throws ImportError when that is not what it is.
 */
export async function * readDump (bytes: AsyncIterable<Buffer>, options: DumpOptions): AsyncGenerator<Entry> {
  const stream = streamArray.withParserAsStream({ streamValues: false })
  // What fails ends `stream` with the error, and whoever reads it is told.
  pipeline(Readable.from(verified(bytes)), stream).catch(() => {})
  let count = 0
  try {
    for await (const { value } of stream) yield entryOf(value, ++count, options)
  } catch (error) {
    throw error instanceof ImportError ? error : new ImportError('expected the JSON array that manage.py dumpdata writes')
  }
}

/** The same bytes, each after it has been found to be JSON: the parser would not say where it is not. */
async function * verified (bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const check = verifier.asStream().resume()
  check.on('error', () => {})
  const write = promisify((chunk: Buffer, done: (error: Error | null | undefined) => void) => { check.write(chunk, done) })
  const end = promisify((done: (error?: Error | null) => void) => { check.end(done) })
  for await (const chunk of bytes) {
    await write(chunk).catch(damaged)
    yield chunk
  }
  await end().catch(damaged)
}

function damaged ({ line, pos }: VerifierError): never {
  throw new ImportError(`line ${line}, column ${pos}: the JSON is damaged, or the file ends too soon; expected what manage.py dumpdata writes`)
}

function entryOf (value: unknown, number: number, { model, claims }: DumpOptions): Entry {
  if (!items.Check(value)) throw new ImportError(`item ${number}: expected a model, a pk and fields`)
  if (value.model.toLowerCase() !== model) return { model: printable(value.model) }
  if (!users.Check(value)) return { where: `item ${number}`, reason: faultOf(users, value) }
  return { where: `item ${number}, pk ${printable(String(value.pk))}`, incoming: incomingOf(value, claims) }
}

function incomingOf ({ pk, fields }: Static<typeof User>, claims: string[]) {
  const { username, email = null, password, is_active: isActive = true, date_joined: createdAt = null, last_login: lastLoginAt = null } = fields
  return {
    // A model whose users log in with their address has no other name.
    username: username ?? email ?? '',
    email,
    emailVerified: false,
    passwordHash: password,
    externalId: String(pk),
    disabled: !isActive,
    claims: Object.fromEntries(Object.entries(fields).filter(([name]) => claims.includes(name))),
    createdAt,
    lastLoginAt
  }
}
