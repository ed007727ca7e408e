import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import t, { type Test } from 'tap'
import { eventually } from './fixtures/accounts.ts'
import { bearer, PASSWORD } from './fixtures/app.ts'
import { assertDeclared } from './fixtures/contract.ts'
import { ask, call } from './fixtures/process.ts'
import { startServer } from './fixtures/server.ts'

const credentials = { username: 'ada', password: PASSWORD }
const SLOW_HASH = { LATCHKEY_BCRYPT_COST: '12' }

interface Answer {
  status: number
  connection: string | undefined
}

/** A client with one connection that it keeps for as long as the service lets it; a reset makes its call fail. */
function createClient (t: Test, origin: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())

  function send (path: string, { body, token = '' }: { body?: object, token?: string } = {}) {
    const headers = { ...bearer(token), ...(body && { 'content-type': 'application/json' }) }
    const outgoing = request(origin + path, { method: body ? 'POST' : 'GET', agent, headers })
    const sent = once(outgoing, 'finish')
    const answer = answerTo(outgoing)
    // Who waits for `sent` first comes to it later.
    answer.catch(() => {})
    outgoing.end(body && JSON.stringify(body))
    return { sent, answer }
  }

  async function answerTo (outgoing: ReturnType<typeof request>): Promise<Answer> {
    // The event's only argument.
    const [response] = await once(outgoing, 'response') as [IncomingMessage]
    const { statusCode: status = NaN, headers } = response
    const body = Buffer.concat(await response.toArray()).toString()
    assertDeclared({ method: outgoing.method, path: outgoing.path, status, headers: Object.entries(headers).map(([name, value]) => [name, String(value)]), body })
    return { status, connection: headers.connection }
  }

  return { send, get: (path: string, token?: string) => send(path, { ...(token !== undefined && { token }) }).answer }
}

const isRefused = (origin: string) => fetch(origin).then(() => false, ({ cause }) => cause.code === 'ECONNREFUSED')

t.test('SIGTERM under the load of keep-alive clients → 503 of /readyz first; every call gets its answer, from then on with connection: close; none is reset; exit 0', async (t) => {
  const server = startServer(t, { LATCHKEY_RATE_LIMIT: 'off', LATCHKEY_SHUTDOWN_DELAY: '4s', LOG_LEVEL: 'error' }, { counted: true })
  const origin = await server.origin
  await call(origin, '/register', credentials)
  const token = (await call(origin, '/login', credentials))?.body.access_token
  const balancer = createClient(t, origin)
  t.strictSame(await balancer.get('/readyz'), { status: 200, connection: 'keep-alive' })

  const answers: Answer[] = []
  const drain = new AbortController()
  t.teardown(() => drain.abort())
  const load = Promise.all(Array.from({ length: 20 }, () => createClient(t, origin)).map(async ({ get }) => {
    while (!drain.signal.aborted) answers.push(await get('/private', token))
    return await get('/private', token)
  }))
  // What fails is told below, where they are waited for.
  load.catch(() => {})
  await eventually(async () => answers.length > 200)
  const stopped = server.stop('SIGTERM')
  await eventually(async () => (await balancer.get('/readyz')).status === 503)
  drain.abort()

  for (const last of await load) t.strictSame(last, { status: 200, connection: 'close' }, 'work goes on')
  t.strictSame(answers.filter(({ status }) => status !== 200), [])
  t.strictSame(await createClient(t, origin).get('/livez'), { status: 200, connection: 'close' }, 'of a new connection too')
  t.equal((await stopped).code, 0)
  t.ok(await isRefused(origin))
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} during logins on connections that are kept alive → their answers with connection: close, none is reset, exit 0, long before the keep-alive time is over`, async (t) => {
    // The delay is for SIGTERM alone: who presses Ctrl-C does not wait.
    const server = startServer(t, { ...SLOW_HASH, LATCHKEY_SHUTDOWN_DELAY: signal === 'SIGINT' ? '5m' : '0s' })
    const origin = await server.origin
    await call(origin, '/register', credentials)
    const [idle, ...busy] = Array.from({ length: 5 }, () => createClient(t, origin))
    for (const client of busy) t.strictSame(await client.get('/livez'), { status: 200, connection: 'keep-alive' })
    await idle?.get('/livez')

    const logins = busy.map(({ send }) => send('/login', { body: credentials }))
    await Promise.all(logins.map(({ sent }) => sent))
    // The connections of a server are taken, and their requests read, in turn: this one came after.
    await ask(`${origin}/livez`)
    const start = performance.now()
    const stopped = server.stop(signal)
    for (const { answer } of logins) t.strictSame(await answer, { status: 200, connection: 'close' })
    t.equal((await stopped).code, 0)
    t.ok(performance.now() - start < 30_000)
    t.ok(await isRefused(origin))
  })
}

t.test('SIGTERM twice → the second does not wait: exit 1', async (t) => {
  const server = startServer(t, { LATCHKEY_SHUTDOWN_DELAY: '5m' })
  const { get } = createClient(t, await server.origin)
  server.stop('SIGTERM')
  await eventually(async () => (await get('/readyz')).status === 503)
  t.equal((await server.stop('SIGTERM')).code, 1)
})

t.test('an error that nobody caught → it is logged as fatal, the service stops in order, exit 1', async (t) => {
  const fault = 'data:text/javascript,process.on("SIGUSR2", () => { throw new Error("nobody caught it") })'
  const server = startServer(t, SLOW_HASH, { counted: true, nodeArgs: ['--import', fault] })
  const origin = await server.origin
  await call(origin, '/register', credentials)
  const { sent, answer } = createClient(t, origin).send('/login', { body: credentials })
  await sent
  await ask(`${origin}/livez`)
  const { code, out } = await server.stop('SIGUSR2')
  t.equal(code, 1)
  t.strictSame(await answer, { status: 200, connection: 'close' })
  const lines = out.trimEnd().split('\n').map((line) => JSON.parse(line))
  t.match(lines.filter(({ level }) => level === 60), [{ msg: 'the service stops: this should not have happened', err: { message: 'nobody caught it', stack: String } }])
  t.strictSame(lines.map(({ audit }) => audit).filter((event) => String(event).startsWith('sys_')), ['sys_startup', 'sys_crash', 'sys_shutdown'])
})

/** A server in which a promise is rejected, and nobody looks, when the signal comes. @returns its exit code and its log. */
async function rejecting (t: Test, signal: NodeJS.Signals) {
  const fault = `data:text/javascript,process.on("${signal}", () => { Promise.reject(new Error("nobody handled it")) })`
  const server = startServer(t, {}, { nodeArgs: ['--import', fault] })
  await server.origin
  const { code, out } = await server.stop(signal)
  return { code, lines: out.trimEnd().split('\n').map((line) => JSON.parse(line)) }
}

t.test('a rejection that nobody handled → it is logged as fatal, the service stops in order, exit 1', async (t) => {
  // A signal that means nothing to the service.
  const { code, lines } = await rejecting(t, 'SIGWINCH')
  t.equal(code, 1)
  t.match(lines.filter(({ level }) => level === 60), [{ msg: 'the service stops: this should not have happened', err: { message: 'nobody handled it', stack: String } }])
  t.ok(lines.some(({ audit }) => audit === 'sys_shutdown'))
})

t.test('a rejection that nobody handled while the service stops → it is logged, exit 1 at once', async (t) => {
  const { code, lines } = await rejecting(t, 'SIGTERM')
  t.equal(code, 1)
  // The line before it says that this is the second: it may still be under way when the process ends, and come later or not at all.
  t.match(lines.filter(({ level, err }) => level === 50 && err), [{ err: { message: 'nobody handled it', stack: String } }])
})
