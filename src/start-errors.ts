import { ConfigError } from './config.ts'
import { CannotOpen } from './db/cannot-open.ts'
import { exitCodes } from './exit-codes.ts'
import { ImportError } from './transfer/import.ts'
import { Unavailable } from './unavailable.ts'

/** What an operator can mend, by the code that Node or SQLite gives it. */
const causes = new Map(Object.entries({
  EADDRINUSE: 'PORT: another process listens there already',
  EADDRNOTAVAIL: 'HOST: this machine has no such address',
  EAFNOSUPPORT: 'HOST: this machine has no such address',
  EINVAL: 'HOST: this machine has no such address',
  ENOTFOUND: 'HOST: this machine has no such address',
  EAI_AGAIN: 'HOST: this name cannot be looked up now',
  'listen EACCES': 'PORT: it is reserved for root',
  EACCES: 'DATABASE_URL: the data folder cannot be written',
  EPERM: 'DATABASE_URL: the data folder cannot be written',
  EROFS: 'DATABASE_URL: the data folder cannot be written',
  ENOENT: 'DATABASE_URL: the data folder cannot be made',
  ENAMETOOLONG: 'DATABASE_URL: the path is too long',
  ELOOP: 'DATABASE_URL: the path goes in a circle',
  EIO: 'DATABASE_URL: the disk fails',
  SQLITE_IOERR: 'DATABASE_URL: the disk fails',
  ENOTDIR: 'DATABASE_URL: a part of the path is a file',
  EEXIST: 'DATABASE_URL: a part of the path is a file, or a link to nowhere',
  EISDIR: 'DATABASE_URL: this is a folder',
  ENOSPC: 'DATABASE_URL: the disk is full',
  SQLITE_FULL: 'DATABASE_URL: the disk is full',
  SQLITE_NOTADB: 'DATABASE_URL: this file is no SQLite database',
  SQLITE_READONLY: 'DATABASE_URL: the database cannot be written',
  SQLITE_CANTOPEN: 'DATABASE_URL: the database cannot be opened',
  SQLITE_CORRUPT: 'DATABASE_URL: the database is damaged; restore a backup',
  SQLITE_BUSY: 'DATABASE_URL: another process keeps the database locked',
  // Of all modules this is the only one that may be absent.
  MODULE_NOT_FOUND: 'DATABASE_URL: SQLite could not be compiled for Node 20; take Node 22 or later, or install Python 3, make and a C++ compiler, and run npm ci again'
}))

/** One line for what an operator can mend, or one for each setting at fault; anything else is a fault of ours, and stays as it is, with its stack. */
export function explain (error: unknown): unknown {
  if (error instanceof ConfigError) return error.message.replace(/^/gm, 'latchkey: ')
  if (error instanceof CannotOpen || error instanceof ImportError) return `latchkey: ${error.message}`
  const code = codeOf(error)
  const cause = causeOf(error, code)
  if (cause !== undefined) return `latchkey: ${cause} (${code})`
  return error instanceof Unavailable ? `latchkey: ${error.message}` : error
}

/** The exit code that tells a script what kind of thing went wrong. */
export function exitCodeOf (error: unknown): number {
  if (error instanceof ConfigError) return exitCodes.configuration
  if (error instanceof CannotOpen || error instanceof Unavailable) return exitCodes.database
  const [, setting] = /^latchkey: (DATABASE_URL|HOST|PORT): /.exec(String(explain(error))) ?? []
  if (setting === undefined) return exitCodes.failed
  return setting === 'DATABASE_URL' ? exitCodes.database : exitCodes.configuration
}

function causeOf (error: unknown, code: string): string | undefined {
  // Node's codes tell of our own port and folder here; of a database elsewhere they tell of its host.
  if (error instanceof Unavailable && !code.startsWith('SQLITE_')) return undefined
  const listening = error instanceof Error && 'syscall' in error && error.syscall === 'listen'
  // An extended code of SQLite begins with its primary one: SQLITE_READONLY_DIRECTORY.
  return causes.get(listening ? `listen ${code}` : code) ?? causes.get(code.split('_').slice(0, 2).join('_'))
}

/** The code of an error, or of the one that it was made from. */
function codeOf (error: unknown): string {
  if (!(error instanceof Error)) return ''
  return 'code' in error ? String(error.code) : codeOf(error.cause)
}
