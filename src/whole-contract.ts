import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from './app.ts'
import { loadConfig } from './config.ts'

/** The OpenAPI document of everything that can be switched on, whatever this machine's settings say. */
export async function wholeContract (): Promise<object> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-'))
  try {
    const app = await build(loadConfig({ DATABASE_URL: `file:${join(folder, 'latchkey.db')}`, LOG_LEVEL: 'silent', LATCHKEY_SIMPLE_JWT: 'on' }))
    await app.ready()
    const contract = app.swagger()
    await app.close()
    return contract
  } finally {
    rmSync(folder, { recursive: true })
  }
}
