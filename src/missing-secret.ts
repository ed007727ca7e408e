import { existsSync } from 'node:fs'
import { type Config, ConfigError } from './config.ts'
import { type DatabaseSettings, openDatabase, type Store } from './db/open.ts'
import { secretPath } from './secrets.ts'

/**
 * A secret that is made where another one was lost looks as good, and gets into the next backup, and opens nothing.
 * @throws ConfigError when the file beside the database is missing, and something in the database is under what it said.
 */
export async function expectSecret ({ secret, database, ...settings }: DatabaseSettings & Pick<Config, 'secret'>): Promise<void> {
  if (secret !== undefined || 'url' in database || !existsSync(database.path)) return
  const path = secretPath(database)
  if (existsSync(path)) return
  const { store, close } = await openDatabase({ database, ...settings })
  try {
    if (await isUnderSecret(store)) throw new ConfigError(`${path} is missing, and the database beside it is of no use without it; restore it from your backup, or set LATCHKEY_SECRET to what it says`)
  } finally {
    await close()
  }
}

/** Signing keys are encrypted under the secret, and the tokens of sessions are signed. */
async function isUnderSecret (store: Store): Promise<boolean> {
  const [keys, sessions] = await Promise.all([store.listSigningKeys(), store.listSessions('', 1)])
  return keys.length + sessions.length > 0
}
