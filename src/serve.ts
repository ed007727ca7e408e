import closeWithGrace from 'close-with-grace'
import { statSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { build } from './app.ts'
import { type Config, loadConfig } from './config.ts'
import { shownAddress } from './config/database.ts'
import { secretPath } from './secrets.ts'

/** Longer than the service takes to close; then the process ends all the same. */
const LONGEST_CLOSE = 20_000
const LONGEST_RECORD = 1_000
const OTHERS_READ = 0o004

/**
 * Runs the service until a signal ends it. Resolves when it listens.
 * @throws what `explain` explains.
 */
export async function serve (env?: NodeJS.ProcessEnv): Promise<void> {
  const config = loadConfig(env)
  const app = await build(config)
  warnOfOpenSecret(config, app.log)
  await app.listen({ host: config.host, port: config.port })
  closeWithGrace({ delay: config.shutdownDelay + LONGEST_CLOSE, logger: app.log }, async ({ signal, err }) => {
    app.beginClosing()
    if (err) {
      app.log.fatal({ err }, 'the service stops: this should not have happened')
      // A database that hangs must not keep a broken process alive.
      await Promise.race([app.audit('sys_crash'), delay(LONGEST_RECORD)])
    }
    // Who orchestrates services needs a moment to see that this one is not ready; who presses Ctrl-C does not.
    if (signal === 'SIGTERM') await delay(config.shutdownDelay)
    await app.close()
  })
  announce(config, app.listeningOrigin)
}

/** It is made for its owner alone; one that was copied, or restored, may have another mode. */
function warnOfOpenSecret ({ secret, database }: Config, log: { warn: (line: string) => void }) {
  if (secret !== undefined) return
  const path = secretPath(database)
  if ((statSync(path).mode & OTHERS_READ) !== 0) log.warn(`${path} can be read by every user of this machine: chmod 600 keeps it to its owner`)
}

/** For the person at the terminal; the log goes to standard output. */
function announce ({ database, secret, docs, publicUrl }: Config, origin: string) {
  const madeSecret = secret === undefined ? ` (back it up with ${secretPath(database)}: one is useless without the other)` : ''
  const lines = [
    `Latchkey listens on ${origin}`,
    ...(docs ? [`  docs    ${origin}/docs`] : []),
    // Verifiers compare it letter for letter, and it need not be the address above.
    `  issuer  ${publicUrl} (LATCHKEY_PUBLIC_URL)`,
    `  data    ${shownAddress(database)}${madeSecret}`
  ]
  console.error(`\n${lines.join('\n')}\n`)
}
