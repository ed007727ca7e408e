import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import t from 'tap'
import ts from 'typescript'

interface Import {
  /** Of the importing file, from the root of the repository. */
  from: string
  /** Likewise for a file of ours; the name as it is written for a package. */
  to: string
  /** Nothing of it is left when the program runs. */
  typeOnly: boolean
}

interface Source {
  path: string
  tree: ts.SourceFile
}

const sources = ['src', 'plugins', 'routes', 'bench', 'test'].flatMap(sourcesIn)
const ours = sources.filter(({ path }) => /^(src|plugins|routes)\//.test(path))
const imports = ours.flatMap(importsOf)

function sourcesIn (folder: string): Source[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.[jt]s$/.test(name)).map((name) => {
    const path = posix.join(folder, name.replaceAll('\\', '/'))
    return { path, tree: ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest) }
  })
}

/** Every import, re-export and `import()` of a file, those in types too. */
function importsOf ({ path, tree }: Source): Import[] {
  const found: Import[] = []
  const add = (to: string, typeOnly: boolean) => found.push({ from: path, to: to.startsWith('.') ? posix.join(posix.dirname(path), to) : to, typeOnly })
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(textOf(node.moduleSpecifier), node.importClause?.isTypeOnly ?? false)
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier) add(textOf(node.moduleSpecifier), node.isTypeOnly)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(textOf(node.argument.literal), true)
    else if (ts.isCallExpression(node) && (node.expression.kind === ts.SyntaxKind.ImportKeyword || node.expression.getText(tree) === 'require')) add(textOf(node.arguments[0]), false)
    node.forEachChild(visit)
  }
  visit(tree)
  return found
}

function textOf (node: ts.Node | undefined): string {
  if (node === undefined || !ts.isStringLiteralLike(node)) throw new Error('an import whose target is computed cannot be checked')
  return node.text
}

/** The imports that break a rule, as text. */
function breaking (rule: (one: Import) => boolean): string[] {
  return imports.filter(rule).map(({ from, to, typeOnly }) => `${from} imports ${typeOnly ? 'a type of ' : ''}${to}`)
}

const within = (folder: string) => (path: string) => path.startsWith(`${folder}/`)
const inSrc = within('src')
const inDb = within('src/db')
const inPlugins = within('plugins')
const inRoutes = within('routes')

t.test('the rules are held against what there is', async (t) => {
  t.ok(ours.length > 50)
  t.ok(imports.length > 200)
  t.ok(imports.some(({ typeOnly }) => typeOnly) && imports.some(({ typeOnly }) => !typeOnly))
  const paths = new Set(sources.map(({ path }) => path))
  t.strictSame(breaking(({ to }) => /^(src|plugins|routes|test|bench)\//.test(to) && !paths.has(to)), [], 'every file that is imported is known')
})

t.test('direction: server → app → plugins, routes → rules → src/db', async (t) => {
  t.strictSame(breaking(({ from, to }) => inRoutes(from) && (inPlugins(to) || inRoutes(to))), [], 'a route imports neither a plugin nor another route')
  t.strictSame(breaking(({ from, to, typeOnly }) => inRoutes(from) && inDb(to) && !(typeOnly && to === 'src/db/open.ts')), [],
    'a route knows the database by the types of its rows alone')
  t.strictSame(breaking(({ from, to }) => inPlugins(from) && (inPlugins(to) || inRoutes(to))), [], 'a plugin imports neither another plugin nor a route')
  t.strictSame(breaking(({ from, to }) => inPlugins(from) && inDb(to) && to !== 'src/db/open.ts'), [], 'a plugin knows one file of src/db')
  t.strictSame(breaking(({ from, to }) => inSrc(from) && from !== 'src/app.ts' && (inPlugins(to) || inRoutes(to))), [], 'the composition root alone imports plugins and routes')
  t.strictSame(breaking(({ from, to, typeOnly }) => inDb(from) && inSrc(to) && !inDb(to) && !typeOnly && to !== 'src/unavailable.ts'), [], 'src/db stands on nothing of ours but the error that it throws')
  t.strictSame(breaking(({ to }) => /^(test|bench|examples|dist)\//.test(to) || to.startsWith('..')), [], 'the product imports no test')
})

t.test('the application is built by those who run it alone', async (t) => {
  const builders = ['src/serve.ts', 'src/whole-contract.ts']
  t.strictSame(breaking(({ from, to }) => to === 'src/app.ts' && !builders.includes(from)), [])
  t.strictSame(breaking(({ to }) => /^src\/(server|cli|openapi|write-docs)\.ts$/.test(to)), [], 'a program is imported by nobody')
})

t.test('the commands are known to the command line alone', async (t) => {
  const commandLine = (path: string) => /^src\/(commands\/.+|commands|cli)\.ts$/.test(path)
  t.strictSame(breaking(({ from, to }) => (commandLine(to) || to === 'commander') && !commandLine(from)), [])
  t.strictSame(breaking(({ from, to }) => commandLine(from) && (inPlugins(to) || inRoutes(to))), [], 'and they stand on the rules')
  t.ok(imports.some(({ from, to }) => commandLine(from) && to === 'commander'))
})

/** Files of src/ that are HTTP by nature; the rules know nothing of Fastify. */
const speakHttp = new Map([
  ['src/app.ts', 'the composition root makes the instance'],
  ['src/early-errors.ts', 'answers what fails before there is a request of Fastify; types alone'],
  ['src/request-log.ts', 'is the log controller that Fastify calls'],
  ['src/schemas.ts', 'the schemas of the routes, and the type of a route; types alone']
])

t.test('rules import no Fastify', async (t) => {
  const isFastify = (to: string) => /^(@fastify\/|fastify)/.test(to)
  t.strictSame(breaking(({ from, to }) => inSrc(from) && isFastify(to) && !speakHttp.has(from)), [])
  t.strictSame(breaking(({ from, to, typeOnly }) => /early-errors|schemas/.test(from) && isFastify(to) && !typeOnly), [], 'types alone, where that is said')
  for (const path of speakHttp.keys()) t.ok(imports.some(({ from, to }) => from === path && isFastify(to)), `${path} still does`)
})

t.test('Drizzle and the drivers are known in src/db alone', async (t) => {
  const isDatabase = (to: string) => /^(drizzle-orm|drizzle-kit|better-sqlite3|pg|postgres|node:sqlite)(\/|$)/.test(to)
  t.strictSame(breaking(({ from, to }) => isDatabase(to) && !inDb(from)), [])
  t.ok(imports.some(({ to }) => isDatabase(to)))
})

t.test('the environment is read in src/config.ts alone', async (t) => {
  const readers = ours.filter(({ tree }) => {
    let found = false
    const visit = (node: ts.Node): void => {
      const property = ts.isPropertyAccessExpression(node) ? node.name.text : ts.isElementAccessExpression(node) ? node.argumentExpression.getText(tree) : ''
      if (/\benv\b/.test(property) && /^(globalThis\.)?process$/.test(node.getChildAt(0, tree).getText(tree))) found = true
      node.forEachChild(visit)
    }
    visit(tree)
    return found
  })
  t.strictSame(readers.map(({ path }) => path), ['src/config.ts'])
  t.strictSame(breaking(({ to }) => /^(node:)?process$/.test(to) || to === 'dotenv'), [], 'nor by another way')
})

t.test('no import goes in a circle when the program runs', async (t) => {
  t.strictSame(circles(imports.filter(({ typeOnly }) => !typeOnly)), [])
})

t.test('the only circle of types is that of the tables and the columns they are made of', async (t) => {
  t.strictSame(circles(imports), ['src/db/sqlite-tables.ts src/db/tables.ts'])
})

/** The groups of files that import each other, directly or not. */
function circles (edges: Import[]): string[] {
  const targets = new Map<string, string[]>()
  for (const { from, to } of edges) targets.set(from, [...targets.get(from) ?? [], to])
  const reach = (start: string) => {
    const reached = new Set<string>()
    const queue = [...targets.get(start) ?? []]
    for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
      if (!reached.has(path)) queue.push(...targets.get(path) ?? [])
      reached.add(path)
    }
    return reached
  }
  const reached = new Map([...targets.keys()].map((path) => [path, reach(path)]))
  const members = [...reached.keys()].filter((path) => reached.get(path)?.has(path))
  const groups = members.map((path) => members.filter((other) => other === path || (reached.get(path)?.has(other) && reached.get(other)?.has(path))).sort().join(' '))
  return [...new Set(groups)].sort()
}

t.test('the checks see what breaks the rules', async (t) => {
  const tree = ts.createSourceFile('routes/bad.ts', `
    import db, { type X } from '../plugins/db.ts'
    import type { Y } from '../src/db/store.ts'
    export { z } from './me.ts'
    export type * from './login.ts'
    const later = await import('../src/app.ts')
    type Later = import('../src/db/open.ts').User`, ts.ScriptTarget.Latest)
  t.strictSame(importsOf({ path: 'routes/bad.ts', tree }).map(({ to, typeOnly }) => [to, typeOnly]), [
    ['plugins/db.ts', false], ['src/db/store.ts', true], ['routes/me.ts', false], ['routes/login.ts', true], ['src/app.ts', false], ['src/db/open.ts', true]
  ])
  const edge = (from: string, to: string) => ({ from, to, typeOnly: false })
  t.strictSame(circles([edge('a', 'b'), edge('b', 'c'), edge('c', 'a'), edge('c', 'd'), edge('e', 'e')]), ['a b c', 'e'])
})
