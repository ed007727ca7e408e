/** A thing as it is shown: JSON for programs, words for people. */
export type Shown = Record<string, unknown>

const GAP = '  '
const BOLD = '\u001b[1m'
const PLAIN = '\u001b[22m'

/**
 * Lines up rows that come in batches. A column may get wider from one batch to the next, never narrower.
 * @param columns the properties of a row that are shown.
 */
export function createTable (columns: string[], { styled }: { styled: boolean }) {
  const shown = columns.map((name) => ({ name, width: name.length }))

  function line (textOf: (name: string) => string): string {
    return shown.map(({ name, width }) => textOf(name).padEnd(width)).join(GAP).trimEnd()
  }

  function rows (batch: Shown[]): string[] {
    for (const column of shown) {
      for (const row of batch) column.width = Math.max(column.width, cell(row[column.name]).length)
    }
    return batch.map((row) => line((name) => cell(row[name])))
  }

  /** To be asked for after the first batch, which says how wide it is. */
  function heading (): string {
    const text = line((name) => name.toUpperCase())
    return styled ? BOLD + text + PLAIN : text
  }

  return { heading, rows }
}

/** The properties of one thing, a line for each. */
export function sheet (thing: Shown): string[] {
  const widest = Math.max(...Object.keys(thing).map((name) => name.length))
  return Object.entries(thing).map(([name, value]) => `${name.padEnd(widest)}${GAP}${cell(value)}`)
}

/** No control character reaches the terminal: a user agent is what a client sent, and a name may come from a file. */
export function cell (value: unknown): string {
  if (value === null) return '-'
  return (typeof value === 'object' ? JSON.stringify(value) : String(value)).replace(/\p{Cc}/gu, '\ufffd')
}

/** One line of JSON. It leaves U+007F to U+009F as they are, with which a sequence for the terminal can begin. */
export function json (thing: Shown): string {
  return JSON.stringify(thing).replace(/[\u007f-\u009f]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`)
}
