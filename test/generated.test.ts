import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { envExample, withSettings } from '../src/config/settings-text.ts'
import { loadConfig } from '../src/config.ts'
import { contractYaml } from '../src/contract-yaml.ts'
import { errorsPage } from '../src/errors-text.ts'
import { build } from './fixtures/app.ts'

/** The committed contract describes every operation there can be. */
const everythingOn = { LATCHKEY_SIMPLE_JWT: 'on' }

t.test('openapi.yaml is what the routes say (if not: npm run openapi)', async (t) => {
  const app = await build(t, { env: everythingOn })
  t.equal(readFileSync('openapi.yaml', 'utf8'), contractYaml(app.swagger()))
})

t.test('GET /openapi.json and /openapi.yaml → 200, the same contract', async (t) => {
  const app = await build(t, { env: everythingOn })
  const json = await app.inject('/openapi.json')
  const yaml = await app.inject('/openapi.yaml')
  t.equal(json.headers['content-type'], 'application/json; charset=utf-8')
  t.equal(yaml.headers['content-type'], 'application/yaml; charset=utf-8')
  t.same(parse(yaml.body), json.json())
  t.equal(yaml.body, readFileSync('openapi.yaml', 'utf8'))
})

t.test('GET /openapi.json → 200, without the operations that are off', async (t) => {
  const app = await build(t)
  const { paths, tags, components } = (await app.inject('/openapi.json')).json()
  t.strictSame(Object.keys(paths).filter((path) => path.startsWith('/api/token')), [])
  t.notMatch(JSON.stringify([tags, Object.keys(components.schemas)]), /Simple ?J/)
  const prefixed = await build(t, { env: { ...everythingOn, LATCHKEY_SIMPLE_JWT_PREFIX: '/auth/jwt' } })
  t.strictSame(Object.keys((await prefixed.inject('/openapi.json')).json().paths).filter((path) => path.startsWith('/a')), ['/auth/jwt', '/auth/jwt/refresh', '/auth/jwt/verify', '/auth/jwt/blacklist'], 'where it was put')
})

t.test('GET /docs → 200, Swagger UI, and nothing from elsewhere', async (t) => {
  const app = await build(t)
  const page = await app.inject('/docs')
  t.equal(page.statusCode, 200)
  t.match(page.body, /swagger-ui/)
  t.notMatch(page.body, /https?:\/\//)
})

t.test('the README\'s table of settings, .env.example and docs/errors.md are what the code says (if not: npm run docs)', async (t) => {
  const readme = readFileSync('README.md', 'utf8')
  t.equal(withSettings(readme), readme)
  t.equal(readFileSync('.env.example', 'utf8'), envExample())
  t.equal(readFileSync('docs/errors.md', 'utf8'), errorsPage())
})

t.test('.env.example, uncommented, is the default configuration', async (t) => {
  const lines = envExample().split('\n').flatMap((line) => /^#(\w+)=(.*)$/.exec(line)?.slice(1, 3) ? [line.slice(1)] : [])
  const env = Object.fromEntries(lines.map((line) => line.split(/=(.*)/).slice(0, 2)))
  t.same(loadConfig(env), loadConfig({}))
})
