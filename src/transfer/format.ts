import { type Static, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { rowSchemas } from '../db/rows.ts'

/** The first line of an export. */
const header = Type.Object({
  latchkey: Type.Literal('export'),
  version: Type.Literal(1),
  /** Id of the master secret under which the signing keys are encrypted, and refresh tokens signed. */
  secret: Type.String()
})

const closed = { additionalProperties: false }
const row = Type.Union([
  Type.Object({ signing_key: rowSchemas.signing_key }, closed),
  Type.Object({ user: rowSchemas.user }, closed),
  Type.Object({ session: rowSchemas.session }, closed)
])

type Header = Static<typeof header>
export type Row = Static<typeof row>

const headers = TypeCompiler.Compile(header)
const rows = TypeCompiler.Compile(row)

/** Undefined when the line is no header of an export that this release can read. */
export function readHeader (line: string): Header | undefined {
  const value = parse(line)
  return headers.Check(value) ? value : undefined
}

/** Undefined when the line is no row. */
export function readRow (line: string): Row | undefined {
  const value = parse(line)
  return rows.Check(value) ? value : undefined
}

export function writeLine (line: Header | Row): string {
  return `${JSON.stringify(line)}\n`
}

function parse (line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
