import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { auditEvents } from '../src/audit.ts'
import { createMetrics } from '../src/metrics.ts'

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

t.test('docs/README.md lists every page', async (t) => {
  const listed = new Set(links('docs/README.md').map((link) => join('docs', link)))
  t.same(pages.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md' && !listed.has(page)), [])
})

t.test('docs/operations.md explains every audit event and every metric of ours, and no others', async (t) => {
  const page = readFileSync('docs/operations.md', 'utf8')
  const named = (pattern: RegExp) => [...new Set(Array.from(page.matchAll(pattern), ([, name]) => name))].toSorted()
  t.same(named(/`((?:user|authn|session|excess|malicious|signing_key|data|sys)_\w+)`/g), auditEvents.toSorted())
  const { registry, watchHashPlaces } = createMetrics()
  watchHashPlaces(() => 0)
  t.same(named(/`(latchkey_\w+)`/g), registry.getMetricsAsArray().map(({ name }) => name).filter((name) => name.startsWith('latchkey_')).toSorted())
})
