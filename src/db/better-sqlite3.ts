import type BetterSqlite3 from 'better-sqlite3'
import { createRequire } from 'node:module'

/** Version 13 crashes Node 20; version 12 crashes Node 24.16 and later when a statement is collected (WiseLibs/better-sqlite3#1515). */
export function driverFor (nodeVersion: string): string {
  return Number.parseInt(nodeVersion) < 22 ? 'better-sqlite3-12' : 'better-sqlite3'
}

/**
 * better-sqlite3 in the version for the Node that runs. What of it is used here is the same in both, so the types of one serve.
 * @throws MODULE_NOT_FOUND where npm could not compile the older one.
 */
export const Sqlite = createRequire(import.meta.url)(driverFor(process.versions.node)) as typeof BetterSqlite3
