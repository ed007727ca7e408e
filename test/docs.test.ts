import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { auditEvents } from '../src/audit.ts'
import { envName } from '../src/config.ts'
import { Settings } from '../src/config/settings.ts'
import { createMetrics } from '../src/metrics.ts'
import { folder } from './fixtures/app.ts'
import { commandLine, everyCommand } from './fixtures/commands.ts'

const pages = ['.', 'docs'].flatMap((folder) => readdirSync(folder).filter((name) => name.endsWith('.md')).map((name) => join(folder, name)))

/** The anchors of a page, made of its headings as GitHub makes them. */
function anchors (page: string): string[] {
  const headings = readFileSync(page, 'utf8').matchAll(/^#+ (.*)$/gm)
  return [...headings].map(([, heading = '']) => heading.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'))
}

/** The links of a page to files and headings of this repository. */
function links (page: string): string[] {
  return [...readFileSync(page, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link).filter((link) => !/^\w+:/.test(link))
}

function leadsSomewhere (page: string, link: string): boolean {
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? page : join(dirname(page), path)
  return existsSync(target) && (anchor === undefined || anchors(target).includes(anchor))
}

t.test('every link of the pages leads to a file, and to a heading, that is there', async (t) => {
  for (const page of pages) t.same(links(page).filter((link) => !leadsSomewhere(page, link)), [], page)
})

t.test('docs/why.md: every row names tests, by titles that are there', async (t) => {
  const rows = readFileSync('docs/why.md', 'utf8').split('\n').filter((line) => line.startsWith('| **'))
  t.ok(rows.length > 20)
  for (const row of rows) {
    const proofs = [...row.matchAll(/\[([^\]]+)\]\(\.\.\/(test\/[^)]+\.test\.ts)\)/g)]
    t.ok(proofs.length > 0, row)
    for (const [, title = '', file = ''] of proofs) t.ok(readFileSync(file, 'utf8').includes(`t.test('${title.replaceAll("'", "\\'")}'`), `${file}: ${title}`)
  }
})

t.test('docs/README.md lists every page', async (t) => {
  const listed = new Set(links('docs/README.md').map((link) => join('docs', link)))
  t.same(pages.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md' && !listed.has(page)), [])
})

t.test('docs/operations.md explains every audit event and every metric of ours, and no others', async (t) => {
  // In its tables: a sentence names what is left out, too.
  const tables = readFileSync('docs/operations.md', 'utf8').split('\n').filter((line) => line.startsWith('|')).join('\n')
  const named = (pattern: RegExp) => [...new Set(Array.from(tables.matchAll(pattern), ([, name]) => name))].toSorted()
  t.same(named(/`((?:user|authn|authz|session|excess|malicious|signing_key|data|sys)_\w+)`/g), auditEvents.toSorted())
  const { registry, watchHashPlaces } = createMetrics()
  watchHashPlaces(() => 0)
  t.same(named(/`(latchkey_\w+)`/g), registry.getMetricsAsArray().map(({ name }) => name).filter((name) => name.startsWith('latchkey_')).toSorted())
})

t.test('every setting of Latchkey that a page names is there', async (t) => {
  const settings = new Set(Object.values(Settings.properties).map(envName))
  for (const page of pages) {
    const named = Array.from(readFileSync(page, 'utf8').matchAll(/`(LATCHKEY_\w*[A-Z])(?:=[^`]*)?`/g), ([, name = '']) => name)
    t.same(named.filter((name) => !settings.has(name)), [], page)
  }
})

/** What a page has within backticks, and in blocks for a shell. */
function codeOf (page: string): string[] {
  return Array.from(readFileSync(page, 'utf8').matchAll(/^```sh\n(.*?)^```|`([^`\n]+)`/gms), ([, block = '', span = '']) => block + span)
}

t.test('every command of Latchkey that a page names is there', async (t) => {
  const commands = await everyCommand(commandLine(folder(t)))
  const all: string[] = []
  for (const page of pages) {
    // Behind the container's name stands the command's own; `latchkey command line` is the user agent of what operators do.
    const named = codeOf(page).flatMap((code) => Array.from(code.matchAll(/\b(?:latchkey(?: --)?|cli\.js) (?!latchkey|command line)([a-z][a-z-]*(?: [a-z-]+)*)/g), ([, words = '']) => `latchkey ${words}`))
    t.same(named.filter((one) => !commands.some((command) => `${one} `.startsWith(`${command} `))), [], page)
    all.push(...named)
  }
  t.ok(all.length > 60, `${all.length} are named`)
})

/** Those of version 5.5.1, and of its master branch ON_LOGIN_SUCCESS and ON_LOGIN_FAILED. */
const ofSimpleJwt = [
  'ACCESS_TOKEN_LIFETIME', 'REFRESH_TOKEN_LIFETIME', 'ROTATE_REFRESH_TOKENS', 'BLACKLIST_AFTER_ROTATION', 'UPDATE_LAST_LOGIN', 'ALGORITHM', 'SIGNING_KEY', 'VERIFYING_KEY', 'AUDIENCE', 'ISSUER',
  'JSON_ENCODER', 'JWK_URL', 'LEEWAY', 'AUTH_HEADER_TYPES', 'AUTH_HEADER_NAME', 'USER_ID_FIELD', 'USER_ID_CLAIM', 'USER_AUTHENTICATION_RULE', 'ON_LOGIN_SUCCESS', 'ON_LOGIN_FAILED', 'AUTH_TOKEN_CLASSES',
  'TOKEN_TYPE_CLAIM', 'JTI_CLAIM', 'TOKEN_USER_CLASS', 'SLIDING_TOKEN_LIFETIME', 'SLIDING_TOKEN_REFRESH_LIFETIME', 'SLIDING_TOKEN_REFRESH_EXP_CLAIM', 'TOKEN_OBTAIN_SERIALIZER', 'TOKEN_REFRESH_SERIALIZER',
  'TOKEN_VERIFY_SERIALIZER', 'TOKEN_BLACKLIST_SERIALIZER', 'SLIDING_TOKEN_OBTAIN_SERIALIZER', 'SLIDING_TOKEN_REFRESH_SERIALIZER', 'CHECK_REVOKE_TOKEN', 'REVOKE_TOKEN_CLAIM', 'CHECK_USER_IS_ACTIVE'
]

t.test('docs/simple-jwt-settings.md has a row for each setting of Simple JWT, and one alone', async (t) => {
  const rows = Array.from(readFileSync('docs/simple-jwt-settings.md', 'utf8').matchAll(/^\| `([A-Z_]+)` \|/gm), ([, name = '']) => name)
  t.same(rows.filter((name) => name !== 'SIMPLE_JWT').toSorted(), ofSimpleJwt.toSorted())
  t.equal(ofSimpleJwt.length, 36)
})
