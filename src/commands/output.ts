import type { Command } from 'commander'
import { createTable, json, sheet, type Shown } from './table.ts'
import type { Terminal } from './terminal.ts'

/** So many rows are lined up together. */
const AT_ONCE = 500

/** How the commands of `program` show what they found: with `--json` to programs, otherwise to people. */
export function outputOf (program: Command, { print, styled = false }: Terminal) {
  const asJson = () => program.opts()['json'] === true

  /** What was done: a sentence for people. */
  function done (sentence: string, result: Shown) {
    print(asJson() ? json(result) : sentence)
  }

  /** One thing with all its properties. */
  function show (thing: Shown) {
    for (const line of asJson() ? [json(thing)] : sheet(thing)) print(line)
  }

  /** Rows as they come: a line of JSON for each, or a table of the `columns`. */
  async function list (rows: Iterable<Shown> | AsyncIterable<Shown>, columns: string[]) {
    if (asJson()) {
      for await (const row of rows) print(json(row))
    } else {
      for await (const line of tableOf(rows, columns)) print(line)
    }
  }

  async function * tableOf (rows: Iterable<Shown> | AsyncIterable<Shown>, columns: string[]) {
    const table = createTable(columns, { styled })
    let begun = false
    for await (const batch of batches(rows)) {
      const lines = table.rows(batch)
      if (!begun) yield table.heading()
      begun = true
      yield * lines
    }
  }

  /** What people alone have to be told. */
  function note (sentence: string) {
    if (!asJson()) print(sentence)
  }

  return { done, show, list, note }
}

/** At least one, be it empty. */
async function * batches (rows: Iterable<Shown> | AsyncIterable<Shown>): AsyncGenerator<Shown[]> {
  let batch: Shown[] = []
  for await (const row of rows) {
    if (batch.length === AT_ONCE) {
      yield batch
      batch = []
    }
    batch.push(row)
  }
  yield batch
}

/** RFC 3339, or null. */
export function time (milliseconds: number | null): string | null {
  return milliseconds === null ? null : new Date(milliseconds).toISOString()
}
