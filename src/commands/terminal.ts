import { existsSync } from 'node:fs'
import { type AuditEventName, type AuditSubject, auditEvent } from '../audit.ts'
import { createClock } from '../clock.ts'
import { type Config, loadConfig } from '../config.ts'
import { migrateDatabase, openDatabase, type Store } from '../db/open.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Dependencies as KeyDependencies } from '../key-rotation.ts'
import { expectSecret } from '../missing-secret.ts'
import { loadSecrets } from '../secrets.ts'

/** What a command has of the world around it. */
export interface Terminal {
  env?: NodeJS.ProcessEnv
  /** Milliseconds since the epoch; without it the machine's clock, set by the database's. */
  now?: () => number
  print: (line: string) => void
  /** For the person who waits, not for what reads the output. */
  tell: (line: string) => void
  input: NodeJS.ReadableStream & { isTTY?: boolean }
  output: NodeJS.WritableStream
  /** Whether what is printed may be bold. */
  styled?: boolean
}

/** What a person gave wrong; `message` is one line for the terminal. */
export class UsageError extends Error {
  override name = 'UsageError'
  readonly exitCode = exitCodes.usage
}

/** What could not be done as things are; `message` is one line for the terminal. */
export class Refused extends Error {
  override name = 'Refused'
  readonly exitCode = exitCodes.failed
}

/** The database of the service, and the clock that the service goes by. */
export interface Service {
  store: Store
  now: () => number
}

export interface Manner {
  /** Those that were read already. */
  settings?: Config
  /** Whether it fills a database, and so may make it. */
  fills?: boolean
}

/**
 * @throws Refused where there is no file: it would be made, and its emptiness be taken for the truth.
 * And where migrations are missing: who makes them, and when, is the operator's to say.
 */
export async function expectDatabase (settings: Config) {
  const { database } = settings
  if ('path' in database && !existsSync(database.path)) {
    throw new Refused(`there is no database at ${database.path}: DATABASE_URL names it, and the service makes it when it first starts`)
  }
  const { upToDate } = await migrateDatabase(settings, { check: true })
  if (!upToDate) throw new Refused('migrations are missing; latchkey migrate makes them')
}

/** Works on the database of the service, which may run meanwhile. */
export async function withService (terminal: Terminal, work: (service: Service) => Promise<void>, { settings = loadConfig(terminal.env), fills = false }: Manner = {}) {
  if (!fills) await expectDatabase(settings)
  const { store, serverTime, close } = await openDatabase(settings)
  const { now, adjust } = createClock(terminal.now ?? Date.now, terminal.now ? undefined : serverTime)
  try {
    await adjust()
    await work({ store, now })
  } finally {
    await close()
  }
}

export async function withKeys (terminal: Terminal, work: (dependencies: KeyDependencies & Service) => Promise<void>, manner: Pick<Manner, 'fills'> = {}) {
  const settings = loadConfig(terminal.env)
  await withService(terminal, async (service) => {
    await expectSecret(settings)
    await work({ ...service, secrets: loadSecrets(settings), settings })
  }, { settings, ...manner })
}

/** Records what an operator did; it came from no address. */
export async function record ({ store, now }: Service, event: AuditEventName, subject: AuditSubject) {
  await store.insertAuditEvent(auditEvent(event, subject, { at: now(), ip: null, userAgent: 'latchkey command line', requestId: null }))
}

const TOLD_EVERY = 1_000

/** Tells how far a long work is, once a second, and at its end. */
export function progressTo (terminal: Terminal, one: string, several: string) {
  let done = 0
  let told = performance.now()
  const tell = () => terminal.tell(`${done} ${done === 1 ? one : several}`)
  return {
    progress: (count: number) => {
      done = count
      if (performance.now() - told < TOLD_EVERY) return
      told = performance.now()
      tell()
    },
    done: tell
  }
}
