import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** How long each load runs (s), and how often. */
export const SECONDS = Number(process.env['SECONDS'] ?? 4)
export const ROUNDS = Number(process.env['ROUNDS'] ?? 5)

interface Figure {
  name: string
  measured: number
  target: string
  met: boolean
}

const figures: Figure[] = []

export function report (name: string, measured: number, [bound, target]: ['≥' | '≤', number]) {
  const met = bound === '≥' ? measured >= target : measured <= target
  figures.push({ name, measured, target: `${bound} ${target}`, met })
  console.log(`  ${name}: ${measured.toFixed(2)} (${bound} ${target}) ${met ? '' : ' MISSED'}`)
}

export function printReport () {
  console.table(figures.map(({ name, measured, target, met }) => ({ name, measured: Number(measured.toFixed(2)), target, met })))
}

export function median (values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

/** Interleaved: one round of each after another, so that a slow minute of the machine is everybody's. The medians. */
export async function rounds<K extends string> (loads: Record<K, () => Promise<number>>): Promise<Record<K, number>> {
  // The keys of the record are K; Object.keys forgets it, and so does Object.fromEntries.
  const names = Object.keys(loads) as K[]
  const results = new Map<K, number[]>(names.map((name) => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) {
      const result = await loads[name]()
      results.get(name)?.push(result)
      process.stdout.write(`  round ${round + 1}/${ROUNDS} ${name}: ${result.toFixed(1)}\n`)
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(results.get(name) ?? [])])) as Record<K, number>
}

const folders: string[] = []

/** A folder that is gone when the bench is over. */
export function folder (): string {
  const path = mkdtempSync(join(tmpdir(), 'latchkey-bench-'))
  folders.push(path)
  return path
}

process.on('exit', () => { for (const path of folders) rmSync(path, { recursive: true, force: true }) })
