import { resolve } from 'node:path'
import type { Address } from '../db/open.ts'

const EXPECTED = 'expected file: and a path, such as file:data/latchkey.db, or postgres://user:password@host/name'

/** `DATABASE_URL`. */
export function databaseAddress (value: string): Address {
  // file://data/x would name a host.
  const path = /^file:(?:\/\/(?=\/))?(?!\/\/)(.+)$/.exec(value)?.[1]
  if (path !== undefined) return { path: resolve(path) }
  if (!/^postgres(ql)?:\/\//.test(value) || !URL.canParse(value)) throw new Error(EXPECTED)
  return { url: value }
}

/** For people: without the user, the password and the parameters. */
export function shownAddress (address: Address): string {
  if ('path' in address) return address.path
  const { protocol, host, pathname } = new URL(address.url)
  return `${protocol}//${host}${pathname}`
}
