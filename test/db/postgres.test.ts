import { inspect } from 'node:util'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import t, { type Test } from 'tap'
import { build as buildApp } from '../../src/app.ts'
import { getPrivate, login, PASSWORD, post, refresh, register, registerAndLogin, settings } from '../fixtures/app.ts'
import { eventually, isProblem, took, tokensAnswer } from '../fixtures/accounts.ts'
import { cluster, withCluster } from '../fixtures/cluster.ts'
import { holdAgainstContract } from '../fixtures/contract.ts'
import { psql, SECRET } from '../fixtures/postgres.ts'
import { captureLog } from '../fixtures/refresh.ts'
import { times } from '../fixtures/sockets.ts'
import { captureIntervals } from '../fixtures/timers.ts'

const COMPARED_EVERY = 30_000

/** A service that goes by the clock of its database. */
async function service (t: Test, url: string, env: NodeJS.ProcessEnv = {}): Promise<FastifyInstance> {
  const app = await buildApp(settings('', { DATABASE_URL: url, LATCHKEY_SECRET: SECRET, LOG_LEVEL: 'error', ...env }))
  t.teardown(() => app.close())
  holdAgainstContract(t, app)
  await app.ready()
  return app
}

/** Somebody else keeps a table locked, until the function returned is called. */
async function holdTable (t: Test, url: string, table: string): Promise<() => Promise<void>> {
  const client = new Client({ connectionString: url })
  t.teardown(() => client.end())
  await client.connect()
  await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`)
  return async () => { await client.query('ROLLBACK') }
}

function isUnavailable (t: Test, response: LightMyRequestResponse, about: string) {
  isProblem(t, response, 'unavailable', about)
  t.equal(response.headers['retry-after'], '5', about)
}

/** A client that goes on with the newest token it has, whatever it is answered, and what it was answered. */
function createClient (app: FastifyInstance, username: string) {
  const found = { refreshed: new Set<number>(), opened: new Set<number>(), loggedIn: new Set<number>() }
  let tokens = { access_token: '', refresh_token: '' }

  async function step () {
    const refreshed = await refresh(app, tokens.refresh_token)
    found.refreshed.add(refreshed.statusCode)
    if (refreshed.statusCode === 200) tokens = refreshed.json()
    found.opened.add((await getPrivate(app, tokens.access_token)).statusCode)
    found.loggedIn.add((await post(app, '/login', { username, password: PASSWORD })).statusCode)
  }

  return {
    begin: async () => { tokens = await registerAndLogin(app, username) },
    run: async (over: AbortSignal) => { while (!over.aborted) await step() },
    found
  }
}

t.test('a database that is killed under load, and comes back', withCluster, async (t) => {
  const runInterval = captureIntervals(t)
  const { url, create, start, stop } = await cluster()
  t.teardown(() => psql('DROP DATABASE outage WITH (FORCE)', url()))
  const app = await service(t, create('outage'))
  const ada = await registerAndLogin(app, 'ada')
  const clients = times(6, (n) => createClient(app, `client-${n}`))
  for (const { begin } of clients) await begin()
  const load = new AbortController()
  t.teardown(() => load.abort())
  const over = Promise.all(clients.map(({ run }) => run(load.signal)))
  // What fails is told below, where they are waited for.
  over.catch(() => {})
  await delay(200)
  await stop()

  await t.test('while it is away → 503 with Retry-After for what needs it, /readyz 503, /livez 200; what comes round is logged', async (t) => {
    const lines = captureLog(t, app)
    isUnavailable(t, await refresh(app, ada.refresh_token), 'POST /refresh')
    isUnavailable(t, await getPrivate(app, ada.access_token), 'GET /private')
    isUnavailable(t, await post(app, '/login', { username: 'ada', password: PASSWORD }), 'POST /login')
    isUnavailable(t, await post(app, '/register', { username: 'bob', password: PASSWORD }), 'POST /register')
    isUnavailable(t, await post(app, '/logout', { refresh_token: ada.refresh_token }), 'POST /logout')
    isUnavailable(t, await app.inject('/readyz'), 'GET /readyz')
    t.equal((await app.inject('/livez')).statusCode, 200)
    t.equal((await app.inject('/.well-known/jwks.json')).statusCode, 200)
    runInterval(COMPARED_EVERY)
    for (const message of ['the clock could not be compared with the database\'s', 'the signing keys could not be read']) {
      await eventually(async () => lines.some(({ msg }) => msg === message))
    }
  })

  await start()
  await t.test('when it is back → all goes on without a restart, and nobody was logged out', async (t) => {
    await eventually(async () => (await app.inject('/readyz')).statusCode === 200)
    await delay(200)
    load.abort()
    await over
    for (const { found } of clients) {
      // Each request was under way, or was made, while the database was away.
      t.strictSame(Object.values(found).map((statuses) => [...statuses].sort()), times(3, () => [200, 503]))
    }
    t.strictSame(await tokensAnswer(app, ada), { access: 200, refresh: 200 })
    t.ok(Math.abs(app.now() - Date.now()) < 1_000)
    runInterval(COMPARED_EVERY)
  })
})

t.test('requests while a table is locked, and all connections wait for it → 503 in time; when it is free → 200', withCluster, async (t) => {
  const { create } = await cluster()
  const url = create('crowded')
  const app = await service(t, url, { LATCHKEY_DATABASE_POOL: '1', LATCHKEY_DATABASE_TIMEOUT: '1s' })
  const ada = await registerAndLogin(app)
  const release = await holdTable(t, url, 'sessions')
  let answers: LightMyRequestResponse[] = []
  const time = await took(async () => { answers = await Promise.all(times(6, (i) => i % 2 === 0 ? getPrivate(app, ada.access_token) : refresh(app, ada.refresh_token))) })
  for (const answer of answers) isUnavailable(t, answer, 'GET /private, POST /refresh')
  t.ok(time > 950 && time < 10_000, `${time} ms`)
  isUnavailable(t, await getPrivate(app, ada.access_token), 'the next one')
  await release()
  await eventually(async () => (await getPrivate(app, ada.access_token)).statusCode === 200)
  t.strictSame(await tokensAnswer(app, ada), { access: 200, refresh: 200 })
})

t.test('requests while the database is heard of no more → 503 a second after the time for a statement, and 200 over new connections', withCluster, async (t) => {
  const { create } = await cluster()
  const url = create('silent')
  const app = await service(t, url, { LATCHKEY_DATABASE_TIMEOUT: '1s' })
  const { access_token: token } = await registerAndLogin(app)
  const silent = psql("SELECT pid FROM pg_stat_activity WHERE datname = 'silent' AND pid <> pg_backend_pid()", url).split('\n').map(Number)
  for (const pid of silent) process.kill(pid, 'SIGSTOP')
  t.teardown(() => silent.forEach((pid) => process.kill(pid, 'SIGCONT')))
  const time = await took(async () => {
    const answers = await Promise.all(silent.map(() => getPrivate(app, token)))
    for (const answer of answers) isUnavailable(t, answer, 'GET /private')
  })
  t.ok(time > 1_900 && time < 10_000, `${time} ms`)
  t.equal((await getPrivate(app, token)).statusCode, 200)
})

t.test('what the database refuses as wrong is not called unavailable: class 22, data exception, and 23, constraint violation', withCluster, async (t) => {
  const { create } = await cluster()
  const app = await service(t, create('wrong'))
  const { id } = await register(app)
  const { passwordHash, ...user } = await app.db.store.findUser(id) ?? {}
  const { store } = app.db
  // What no type lets through.
  const insert = (values: object) => store.insertUser({ ...user, id: 'other', usernameKey: 'other', passwordHash, ...values } as Parameters<typeof store.insertUser>[0])
  for (const [values, code] of [[{ username: 'a\0b' }, '22021'], [{ sessionEpoch: 2 ** 40 }, '22003'], [{ username: null }, '23502']] as const) {
    const refusal: unknown = await insert(values).catch((error: unknown) => error)
    t.match(refusal, { name: 'Refusal', code })
    t.notMatch(inspect(refusal, { depth: 10, showHidden: true }), String(passwordHash), 'no value of the row is repeated, which a log would keep')
  }
  t.ok(await insert({}), 'and goes on')
  psql('ALTER TABLE users RENAME COLUMN claims TO away', (await cluster()).url('wrong'))
  await t.rejects(store.findUser(id), { name: 'Unavailable' }, 'anything else is')
  psql('ALTER TABLE users RENAME COLUMN away TO claims', (await cluster()).url('wrong'))
  t.ok(await login(app))
})
