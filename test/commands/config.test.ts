import t from 'tap'
import { run } from '../../src/commands.ts'
import { Settings } from '../../src/config/settings.ts'
import { terminal } from '../fixtures/commands.ts'

const SECRET = 'Wq8-zPt3vKx_Nf5sYb1RhJd7LgCm0EuA'

/** What `latchkey config` printed, and what it failed with. */
async function config (env: NodeJS.ProcessEnv, ...args: string[]) {
  const lines: string[] = []
  const failure = await run(['config', ...args], terminal(lines, { env })).catch((error: unknown) => error)
  return { lines, failure }
}

t.test('config shows every setting and where it comes from', async (t) => {
  const { lines, failure } = await config({ LATCHKEY_ACCESS_TTL: '5m', REDIS_URL: '' }, '--json')
  t.equal(failure, undefined)
  const rows = lines.map((line) => JSON.parse(line))
  t.strictSame(rows.map(({ setting }) => setting), Object.values(Settings.properties).map((setting) => setting['env']))
  const row = (name: string) => rows.find(({ setting }) => setting === name)
  t.strictSame(row('LATCHKEY_ACCESS_TTL'), { setting: 'LATCHKEY_ACCESS_TTL', value: '5m', source: 'environment', fault: null })
  t.strictSame(row('DATABASE_URL'), { setting: 'DATABASE_URL', value: 'file:data/latchkey.db', source: 'default', fault: null })
  t.strictSame(row('REDIS_URL'), { setting: 'REDIS_URL', value: null, source: null, fault: null })
})

t.test('config shows no secret and no password of a URL', async (t) => {
  const names = Object.values(Settings.properties).map((setting) => String(setting['env'])).filter((name) => /SECRET|PEPPER/.test(name))
  t.ok(names.length >= 4)
  const env = Object.fromEntries(names.map((name, i) => [name, `${i}${SECRET}`]))
  const urls = { DATABASE_URL: 'postgres://latchkey:hunter2@db.example.com/latchkey?password=hunter2', REDIS_URL: 'redis://:hunter2@redis.example.com:6379' }
  const { lines, failure } = await config({ ...env, ...urls, LATCHKEY_ALGORITHM: 'HS256' })
  t.equal(failure, undefined)
  const out = lines.join('\n')
  t.notMatch(out, /hunter2/)
  t.notMatch(out, SECRET)
  t.equal(out.match(/\(hidden\) +environment +-$/gm)?.length, names.length)
  t.match(out, /^DATABASE_URL +postgres:\/\/db\.example\.com\/latchkey +environment +-$/m)
  t.match(out, /^REDIS_URL +redis:\/\/redis\.example\.com:6379 +environment +-$/m)
})

t.test('config with a wrong setting shows all of them, says which, and fails; a value that cannot be read is not shown', async (t) => {
  const { lines, failure } = await config({ PORT: SECRET, LATCHKEY_SECRET: 'too short', DATABASE_URL: 'postgres:/hunter2' })
  t.match(failure, { name: 'ConfigError', message: /^PORT: expected/ })
  const out = lines.join('\n')
  t.match(out, /^PORT +\(hidden\) +environment +expected a whole number/m)
  t.match(out, /^LATCHKEY_SECRET +\(hidden\) +environment +expected at least 32/m)
  t.match(out, /^DATABASE_URL +\(hidden\) +environment +expected file:/m)
  t.match(out, /^LATCHKEY_ACCESS_TTL +15m +default +-$/m)
  t.notMatch(out, /too short|hunter2/)
})

t.test('config with a name that nobody knows, or a contradiction, shows all settings and fails', async (t) => {
  for (const env of [{ LATCHKEY_SECRT: 'x' }, { LATCHKEY_SESSION_IDLE: '40d' }]) {
    const { lines, failure } = await config(env)
    t.equal(lines.length, Object.keys(Settings.properties).length + 1)
    t.match(failure, { name: 'ConfigError' })
  }
})
