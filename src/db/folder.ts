import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a folder, mode 0700, and what is missing above it. Node's own `recursive` tries for ever
 * where the parent is there and the file system says ENOENT all the same, as /proc does.
 */
export function makeFolder (path: string): void {
  if (!existsSync(dirname(path))) makeFolder(dirname(path))
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    // It was there, or another process was first.
    if (!existsSync(path)) throw error
  }
}
