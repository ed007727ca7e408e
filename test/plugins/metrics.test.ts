import { parser } from '@prometheus-io/lezer-promql'
import type { FastifyInstance } from 'fastify'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { build as buildApp } from '../../src/app.ts'
import { limitNames } from '../../src/rate-limits.ts'
import { eventually, fillQueue, sql } from '../fixtures/accounts.ts'
import { bearer, build, fakeClock, folder, getPrivate, login, PASSWORD, post, refresh, register, registerAndLogin, settings, tryLogin } from '../fixtures/app.ts'
import { holdAgainstContract } from '../fixtures/contract.ts'
import { captureLog } from '../fixtures/refresh.ts'
import { onPostgres } from '../fixtures/postgres.ts'
import { portOf } from '../fixtures/process.ts'
import { exchange, get } from '../fixtures/socket.ts'
import { captureIntervals } from '../fixtures/timers.ts'

const GRACE = 10_000
const COUNT_SESSIONS_EVERY = 60_000

interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

/** An application that shows its metrics on a free port. */
async function measured (t: Test, { path = folder(t), env = {}, now = Date.now }: { path?: string, env?: NodeJS.ProcessEnv, now?: () => number } = {}) {
  const app = await buildApp(settings(path, { LATCHKEY_METRICS: '127.0.0.1:0', ...env }), { now, random: Math.random })
  t.teardown(() => app.close())
  holdAgainstContract(t, app)
  const lines = captureLog(t, app, 'info')
  await app.ready()
  const url = lines.map(({ msg }) => /^metrics at (\S+)$/.exec(String(msg))?.[1]).find(Boolean)
  if (url === undefined) throw new Error('the log does not say where')
  return { app, url, path, lines, scrape: async () => samplesOf(await (await fetch(url)).text()) }
}

/** The text format of Prometheus. */
function samplesOf (text: string): Sample[] {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).map((line) => {
    const [, name = '', labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
    return { name, labels: Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, value]) => [label, value])), value: Number(value) }
  })
}

/** The samples of one name: by the values of their labels, joined, to the figure. */
function figures (samples: Sample[], name: string): Record<string, number> {
  return Object.fromEntries(samples.filter((sample) => sample.name === name).map(({ labels, value }) => [Object.values(labels).join(' '), value]))
}

/** What `work` adds to a figure. */
async function added (scrape: () => Promise<Sample[]>, name: string, work: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = figures(await scrape(), name)
  await work()
  const after = figures(await scrape(), name)
  return Object.fromEntries(Object.entries(after).map(([labels, value]) => [labels, value - (before[labels] ?? 0)] as const).filter(([, value]) => value !== 0))
}

t.test('without LATCHKEY_METRICS nothing is counted, and GET /metrics → 404', async (t) => {
  const app = await build(t)
  t.equal(app.metrics, undefined)
  t.equal((await app.inject('/metrics')).statusCode, 404)
})

t.test('with LATCHKEY_METRICS there are metrics at that address alone, in the text format of Prometheus', async (t) => {
  const { app, url } = await measured(t)
  const response = await fetch(url)
  t.equal(response.status, 200)
  t.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  t.equal((await app.inject('/metrics')).statusCode, 404)
  t.equal((await fetch(new URL('/', url))).status, 404)
  t.equal((await fetch(new URL('/login', url), { method: 'POST' })).status, 404)
  await app.close()
  await t.rejects(fetch(url), 'it ends with the service')
})

t.test('every series whose labels are known begins at 0', async (t) => {
  const { scrape } = await measured(t)
  const samples = await scrape()
  const zero = (...labels: readonly string[]) => Object.fromEntries(labels.map((label) => [label, 0]))
  t.strictSame(figures(samples, 'latchkey_logins_total'), zero('logged_in', 'invalid_credentials', 'too_many_attempts', 'overloaded'))
  t.strictSame(figures(samples, 'latchkey_refreshes_total'), zero('rotate', 'keep', 'replay', 'recover', 'fast_forward', 'reuse', 'ended', 'unreadable'))
  t.strictSame(figures(samples, 'latchkey_rate_limited_total'), zero(...limitNames))
  for (const name of ['latchkey_lockouts_total', 'latchkey_hash_places', 'latchkey_hash_wait_seconds_count', 'latchkey_live_sessions']) {
    t.strictSame(figures(samples, name), { '': 0 }, name)
  }
})

t.test('an address that nobody can listen at → no start, and one line that names the setting', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  await t.rejects(build(t, { env: { LATCHKEY_METRICS: `127.0.0.1:${portOf(other)}` } }), { name: 'ConfigError', message: 'LATCHKEY_METRICS: nobody can listen there (EADDRINUSE)' })
  await t.rejects(build(t, { env: { LATCHKEY_METRICS: '192.0.2.1:0' } }), { name: 'ConfigError', message: 'LATCHKEY_METRICS: nobody can listen there (EADDRNOTAVAIL)' })
})

t.test('requests are counted by method, pattern of the route and status, and timed; what a client makes up is no label', async (t) => {
  const { app, scrape } = await measured(t)
  const { access_token: token } = await registerAndLogin(app)
  const id = '0199d0c3-0000-7000-8000-000000000000'
  const work = async () => {
    for (let i = 0; i < 3; i++) await getPrivate(app, token)
    await getPrivate(app, 'x')
    await app.inject({ method: 'HEAD', url: '/private' })
    await app.inject({ method: 'DELETE', url: `/sessions/${id}`, headers: bearer(token) })
    await app.inject({ url: '/made-up' })
    await app.inject({ url: '/made-up-too?x' })
    await app.inject({ method: 'PUT', url: '/private' })
  }
  t.strictSame(await added(scrape, 'latchkey_http_requests_total', work), {
    'GET /private 200': 3, 'GET /private 401': 1, 'HEAD /private 401': 1, 'DELETE /sessions/:id 404': 1, 'GET none 404': 2, 'PUT none 405': 1
  })
  t.match(await added(scrape, 'latchkey_http_request_seconds_count', work), { 'GET /private': 4, 'HEAD /private': 1, 'DELETE /sessions/:id': 1, 'GET none': 2, 'PUT none': 1 })
  const [sum] = Object.values(await added(scrape, 'latchkey_http_request_seconds_sum', async () => { await post(app, '/login', { username: 'ada', password: PASSWORD }) }))
  t.ok(Number(sum) > 0 && Number(sum) < 60, `${sum} s`)
})

t.test('what cannot be read is counted too, as one route; an overlong parameter as none', async (t) => {
  const { app, scrape } = await measured(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const work = async () => { for (const bytes of ['sentinel\r\n\r\n', get('/private', `X: ${'a'.repeat(17_000)}`), get('/%zz'), get(`/sessions/${'a'.repeat(200)}`).replace('GET', 'DELETE')]) await exchange(app.listeningOrigin, bytes) }
  t.strictSame(await added(scrape, 'latchkey_http_requests_total', work), { 'none unparsed 400': 1, 'none unparsed 431': 1, 'GET unparsed 400': 1, 'DELETE none 404': 1 })
})

t.test('logins are counted by outcome, delays that begin once each, requests over a limit by its name', async (t) => {
  const { app, scrape } = await measured(t, { env: { LATCHKEY_RATE_LIMIT: 'default=1/1m,refresh=1/1m', LATCHKEY_HASH_QUEUE: '1' } })
  await register(app)
  const address = '203.0.113.7'
  const work = async () => {
    await tryLogin(app, 'ada')
    for (let i = 0; i < 7; i++) await tryLogin(app, 'nobody', 'wrong', address)
    const giveBack = fillQueue(app)
    await tryLogin(app, 'ada')
    giveBack()
  }
  t.strictSame(await added(scrape, 'latchkey_logins_total', work), { logged_in: 1, invalid_credentials: 5, too_many_attempts: 2, overloaded: 1 })
  t.strictSame(figures(await scrape(), 'latchkey_lockouts_total'), { '': 1 })
  const flood = async () => { for (let i = 0; i < 3; i++) { await app.inject('/private'); await refresh(app, 'x') } }
  t.strictSame(await added(scrape, 'latchkey_rate_limited_total', flood), { default: 2, refresh: 2 })
})

t.test('refreshes are counted by step', async (t) => {
  const clock = fakeClock()
  const { app, path, scrape } = await measured(t, { now: clock.now })
  const steps = (work: () => Promise<unknown>) => added(scrape, 'latchkey_refreshes_total', work)
  const { refresh_token: first } = await registerAndLogin(app)
  let second = ''
  t.strictSame(await steps(async () => { second = (await refresh(app, first)).json().refresh_token }), { rotate: 1 })
  t.strictSame(await steps(() => refresh(app, first)), { replay: 1 })
  clock.advance(GRACE + 1)
  t.strictSame(await steps(() => refresh(app, first)), { recover: 1 })
  t.strictSame(await steps(() => refresh(app, second)), { rotate: 1 })
  sql(path, 'UPDATE sessions SET generation = 1, first = 1, previous = NULL')
  t.strictSame(await steps(() => refresh(app, second)), { fast_forward: 1 })
  t.strictSame(await steps(() => refresh(app, first)), { reuse: 1 })
  t.strictSame(await steps(() => refresh(app, second)), { ended: 1 })
  t.strictSame(await steps(() => refresh(app, 'x')), { unreadable: 1 })

  const { app: keeping, scrape: scrapeKeeping } = await measured(t, { env: { LATCHKEY_REFRESH_ROTATION: 'off' } })
  const { refresh_token: kept } = await registerAndLogin(keeping)
  t.strictSame(await added(scrapeKeeping, 'latchkey_refreshes_total', () => refresh(keeping, kept)), { keep: 1 })
})

t.test('hashes that wait, places of their queue, statements and commits are measured', async (t) => {
  const { app, scrape } = await measured(t)
  t.strictSame(await added(scrape, 'latchkey_hash_wait_seconds_count', () => register(app)), { '': 1 })
  t.match(await added(scrape, 'latchkey_hash_wait_seconds_count', () => login(app)), { '': 1 })
  const giveBack = fillQueue(app)
  t.ok(Number(figures(await scrape(), 'latchkey_hash_places')['']) > 0)
  giveBack()
  t.strictSame(figures(await scrape(), 'latchkey_hash_places'), { '': 0 })

  const user = () => register(app, 'eve')
  t.match(await added(scrape, 'latchkey_database_seconds_count', user), { insert_user: 1, insert_audit_event: 1 })
  const together = () => Promise.all(Array.from({ length: 10 }, () => app.db.store.setClaims('nobody', '{}')))
  // PostgreSQL itself commits together what arrives together.
  t.strictSame(await added(scrape, 'latchkey_commit_writes_sum', together), onPostgres() ? {} : { '': 10 })
  t.strictSame(await added(scrape, 'latchkey_commit_writes_count', together), onPostgres() ? {} : { '': 1 })
  const seconds = await added(scrape, 'latchkey_database_seconds_sum', together)
  t.ok(Number(seconds['set_claims']) > 0 && Number(seconds['set_claims']) < 60, `${seconds['set_claims']} s`)
})

t.test('a statement that fails is timed too', async (t) => {
  const { app, path, scrape } = await measured(t)
  sql(path, 'ALTER TABLE users RENAME TO elsewhere')
  // The purge after the start may be under way still, and is timed as well.
  t.match(await added(scrape, 'latchkey_database_seconds_count', async () => {
    await t.rejects(app.db.store.findUser('x'), { name: 'Unavailable' })
  }), { user_by_id: 1 })
  sql(path, 'ALTER TABLE elsewhere RENAME TO users')
})

t.test('live sessions are counted at the start and every minute; when that fails it is logged, and the next time works', async (t) => {
  const runInterval = captureIntervals(t)
  const path = folder(t)
  await before(t, path)
  const { app, lines, scrape } = await measured(t, { path })
  const live = async () => figures(await scrape(), 'latchkey_live_sessions')['']
  t.equal(await live(), 2)
  await login(app)
  t.equal(await live(), 2, 'not before its time')
  runInterval(COUNT_SESSIONS_EVERY)
  await eventually(async () => await live() === 3)

  sql(path, 'ALTER TABLE sessions RENAME TO elsewhere')
  runInterval(COUNT_SESSIONS_EVERY)
  await eventually(async () => lines.some(({ msg }) => msg === 'the sessions could not be counted'))
  t.equal(await live(), 3)
  sql(path, 'ALTER TABLE elsewhere RENAME TO sessions')
  await app.inject({ method: 'POST', url: '/logout/all', headers: bearer((await login(app)).access_token) })
  runInterval(COUNT_SESSIONS_EVERY)
  await eventually(async () => await live() === 0)
})

t.test('a stop while the live sessions are counted waits for the count, and logs no error', async (t) => {
  const runInterval = captureIntervals(t)
  const { app, lines } = await measured(t)
  const { countLive } = app.sessions
  const counts = t.capture(app.sessions, 'countLive', async () => {
    await delay(20)
    return await countLive()
  })
  runInterval(COUNT_SESSIONS_EVERY)
  await app.close()
  t.strictSame(await Promise.all(counts().map((count) => 'returned' in count && count.returned)), [0])
  t.strictSame(lines.filter(({ level }) => Number(level) > 30), [])
})

/** Two sessions, from a start before. */
async function before (t: Test, path: string) {
  const app = await build(t, { path })
  await registerAndLogin(app)
  await login(app)
  await app.close()
}

interface Panel {
  title: string
  targets?: { expr: string, legendFormat: string }[]
}

t.test('deploy/grafana/latchkey.json: its queries are PromQL, and every metric and label that they ask for is in a scrape', async (t) => {
  const { app, scrape } = await measured(t)
  await everyMetric(app)
  const samples = await scrape()
  const labelsOf = (metric: string) => new Set(samples.filter(({ name }) => name === metric).flatMap(({ labels }) => Object.keys(labels)))
  const names = new Set(samples.map(({ name }) => name))
  const { panels }: { panels: Panel[] } = JSON.parse(readFileSync('deploy/grafana/latchkey.json', 'utf8'))
  const targets = panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target })))
  t.ok(targets.length > 10)

  const asked = new Set<string>()
  for (const { title, expr, legendFormat } of targets) {
    t.strictSame(errorsIn(expr), [], `${title}: ${expr}`)
    const metrics = expr.match(/\b(?:latchkey|process|nodejs)_\w+/g) ?? []
    t.ok(metrics.length > 0, `${title}: asks for a metric`)
    for (const metric of metrics) {
      asked.add(metric)
      t.ok(names.has(metric), `${title}: ${metric}`)
      for (const label of labelsIn(expr, legendFormat)) t.ok(labelsOf(metric).has(label), `${title}: ${metric}{${label}}`)
    }
  }
  const ours = new Set([...names].filter((name) => name.startsWith('latchkey_')).map(family))
  t.strictSame([...new Set([...asked].filter((name) => name.startsWith('latchkey_')).map(family))].sort(), [...ours].sort(), 'every metric of ours is on it')
})

/** Makes each metric have every label. */
async function everyMetric (app: FastifyInstance) {
  const { refresh_token: token } = await registerAndLogin(app)
  await refresh(app, token)
}

/** What Prometheus's own grammar cannot read, with where it stands; Grafana fills in the interval. */
function errorsIn (expr: string): string[] {
  const query = expr.replaceAll('$__rate_interval', '5m')
  const errors: string[] = []
  parser.parse(query).iterate({ enter: ({ type, from }) => { if (type.isError) errors.push(query.slice(from)) } })
  return errors
}

/** The labels of a query and its legend: those that it groups by, selects by and shows. */
function labelsIn (expr: string, legend: string): string[] {
  const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/))
  const selected = [...expr.matchAll(/(\w+)(?:=~|!~|!=|=)"/g)].map(([, label = '']) => label)
  const shown = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
  return [...grouped, ...selected, ...shown]
}

/** A histogram is one metric of three names. */
function family (name: string): string {
  return name.replace(/_(bucket|sum|count)$/, '')
}
