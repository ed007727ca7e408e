import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from './app.ts'
import { loadConfig } from './config.ts'
import { contractYaml } from './contract-yaml.ts'

/** Writes openapi.yaml from the routes: `npm run openapi`. */
const folder = mkdtempSync(join(tmpdir(), 'latchkey-'))
const app = await build(loadConfig({ DATABASE_URL: `file:${join(folder, 'latchkey.db')}`, LOG_LEVEL: 'silent', LATCHKEY_SIMPLE_JWT: 'on' }))
await app.ready()
writeFileSync('openapi.yaml', contractYaml(app.swagger()))
await app.close()
rmSync(folder, { recursive: true })
