import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { catalogue, type Code } from '../src/errors.ts'
import { eventually } from './fixtures/accounts.ts'
import { build, login, PASSWORD, register } from './fixtures/app.ts'
import { captureLog } from './fixtures/refresh.ts'
import { exchange, get, parseAnswer, received } from './fixtures/socket.ts'

const app = await build(t)
await app.listen({ port: 0, host: '127.0.0.1' })
const origin = app.listeningOrigin

const lines = (...all: string[]) => all.join('\r\n')
const postLogin = (...headers: string[]) => ['POST /login HTTP/1.1', 'Host: x', 'Content-Type: application/json', ...headers, '']

/** Asserts the whole of a problem that ends its connection; that it does, `exchange` has waited for. Returns its id. */
function isLast (t: Test, answer: string, code: Code, about: string): string {
  const { status, headers, body } = parseAnswer(Buffer.from(answer))
  const { request_id: id, ...problem } = JSON.parse(body)
  t.match(new Map(headers), new Map([
    ['content-type', 'application/problem+json; charset=utf-8'], ['content-length', String(Buffer.byteLength(body))], ['cache-control', 'no-store'], ['x-request-id', id], ['connection', 'close']
  ]), about)
  t.strictSame({ status, ...problem }, { type: 'about:blank', code, ...catalogue[code] }, about)
  t.match(id, /^[0-9a-f-]{36}$/)
  return id
}

const malformed: [string, string | Buffer][] = [
  ['no Host', lines('GET /livez HTTP/1.1', '', '')],
  ['two Hosts', lines('GET /livez HTTP/1.1', 'Host: a', 'Host: b', '', '')],
  ['two equal Hosts', lines('GET /private HTTP/1.1', 'Host: a', 'host: a', '', '')],
  ['no Host, and a path where nothing is', lines('GET /nothing HTTP/1.1', '', '')],
  ['a Content-Length and a Transfer-Encoding', lines(...postLogin('Content-Length: 2', 'Transfer-Encoding: chunked'), '2', '{}', '0', '', '')],
  ['two Content-Lengths', lines(...postLogin('Content-Length: 2', 'Content-Length: 3'), '{}')],
  ['two equal Content-Lengths', lines(...postLogin('Content-Length: 2', 'Content-Length: 2'), '{}')],
  ['a Content-Length that is a list', lines(...postLogin('Content-Length: 2, 2'), '{}')],
  ['a negative Content-Length', lines(...postLogin('Content-Length: -1'), '{}')],
  ['a Content-Length that is no number', lines(...postLogin('Content-Length: two'), '{}')],
  ['an immense Content-Length', lines(...postLogin(`Content-Length: ${'9'.repeat(30)}`), '{}')],
  ['a chunk whose size is no number', lines(...postLogin('Transfer-Encoding: chunked'), 'zz', '{}', '0', '', '')],
  ['a coding after chunked', lines(...postLogin('Transfer-Encoding: chunked, gzip'), '2', '{}', '0', '', '')],
  ['chunk extensions without end', lines(...postLogin('Transfer-Encoding: chunked'), `2;${'x'.repeat(20_000)}`, '{}', '0', '', '')],
  ['bare line feeds', 'GET /livez HTTP/1.1\nHost: x\n\n'],
  ['a bare line feed in the headers', 'GET /livez HTTP/1.1\r\nHost: x\nX: y\r\n\r\n'],
  ['a bare carriage return in a header', 'GET /livez HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n'],
  ['a NUL in a header', lines('GET /livez HTTP/1.1', 'Host: x', 'X: a\0b', '', '')],
  ['a NUL in a header\'s name', lines('GET /livez HTTP/1.1', 'Host: x', 'X\0: a', '', '')],
  ['a NUL in the path', lines('GET /livez\0 HTTP/1.1', 'Host: x', '', '')],
  ['a byte over 127 in the path', Buffer.from(lines('GET /liv\xe9z HTTP/1.1', 'Host: x', '', ''), 'latin1')],
  ['a space before the colon', lines('GET /livez HTTP/1.1', 'Host : x', '', '')],
  ['a folded header', lines('GET /livez HTTP/1.1', 'Host: x', 'X: a', ' b', '', '')],
  ['a header without a colon', lines('GET /livez HTTP/1.1', 'Host: x', 'sentinel', '', '')],
  ['an unknown method', lines('BREW /livez HTTP/1.1', 'Host: x', '', '')],
  ['a method in lower case', lines('get /livez HTTP/1.1', 'Host: x', '', '')],
  ['an unknown version', lines('GET /livez HTTP/9.9', 'Host: x', '', '')],
  ['HTTP/2 without asking', lines('PRI * HTTP/2.0', '', 'SM', '', '')],
  ['HTTP/0.9', lines('GET /livez', '', '')],
  ['no HTTP', 'EHLO sentinel\r\n\r\n'],
  ['TLS', Buffer.from('160301020001000001fc0303', 'hex')]
]

for (const [what, bytes] of malformed) {
  t.test(`a request with ${what} → 400 invalid_request, and the connection ends`, async (t) => {
    const answer = await exchange(origin, bytes)
    isLast(t, answer, 'invalid_request', what)
    t.notMatch(answer, /sentinel|HPE_|node|Server:|X-Powered-By/i)
  })
}

t.test('a request that ends in the middle → 400, and the connection ends', async (t) => {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1')
  const half = 'GET /livez HTTP/1.1\r\nHost: x\r\nX-Unfini'
  socket.end(half)
  isLast(t, received(half, await socket.toArray()), 'invalid_request', 'half a header')
})

t.test('a request with over 16 KiB of headers → 431 headers_too_large, and the connection ends', async (t) => {
  for (const large of ['Authorization: Bearer ', 'Cookie: ', 'X: ']) {
    isLast(t, await exchange(origin, get('/private', `${large}${'a'.repeat(17_000)}`)), 'headers_too_large', large)
  }
  isLast(t, await exchange(origin, get(`/${'a'.repeat(17_000)}`)), 'headers_too_large', 'the path')
  isLast(t, await exchange(origin, get('/livez', ...Array.from({ length: 1_500 }, (_, i) => `X-${i}: abcdef`))), 'headers_too_large', 'many')
  t.match(await exchange(origin, get('/livez', `X: ${'a'.repeat(15_000)}`)), /^HTTP\/1.1 200 /, 'less is read')
})

t.test('a request of HTTP/1.0 need not name a host → 200', async (t) => {
  t.match(await exchange(origin, lines('GET /livez HTTP/1.0', '', '')), /^HTTP\/1.1 200 OK\r\n[^]*{"status":"ok"}$/)
})

t.test('CONNECT → no answer, and the connection ends', async (t) => {
  t.equal(await exchange(origin, lines('CONNECT example.org:443 HTTP/1.1', 'Host: example.org:443', '', '')), '')
})

t.test('OPTIONS * and TRACE → 404, 405, and nothing is sent back', async (t) => {
  t.match(await exchange(origin, get('*').replace('GET', 'OPTIONS')), /^HTTP\/1.1 404 [^]*"not_found"/)
  const trace = await exchange(origin, get('/livez', 'X: sentinel').replace('GET', 'TRACE'))
  t.match(trace, /^HTTP\/1.1 405 [^]*allow: GET, HEAD\r\n/i)
  t.notMatch(trace, /sentinel/)
})

t.test('an Upgrade to what we do not speak → the answer as ever: 200', async (t) => {
  for (const protocol of ['h2c', 'websocket']) {
    t.match(await exchange(origin, get('/livez', `Upgrade: ${protocol}`)), /^HTTP\/1.1 200 /, protocol)
  }
})

t.test('Expect: 100-continue → 100, then the answer; another expectation → 417', async (t) => {
  const expecting = (what: string) => lines(...postLogin('Connection: close', 'Content-Length: 2', `Expect: ${what}`), '{}')
  t.match(await exchange(origin, expecting('100-continue')), /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 400 [^]*"invalid_request"/)
  t.match(await exchange(origin, expecting('sentinel')), /^HTTP\/1.1 417 (?![^]*sentinel)/)
})

t.test('no answer names the software: 200, 400, 401, 404, 405, 413, 415', async (t) => {
  const large = lines(...postLogin('Connection: close', 'Content-Length: 20000'), 'x'.repeat(20_000))
  const text = lines(...postLogin('Connection: close', 'Content-Length: 2'), '{}').replace('application/json', 'text/plain')
  const requests = [get('/livez'), get('/%zz'), get('/private'), get('/nothing'), get('/login'), large, text]
  const answers = (await Promise.all(requests.map((request) => exchange(origin, request)))).map((answer) => parseAnswer(Buffer.from(answer)))
  t.strictSame(answers.map(({ status }) => status), [200, 400, 401, 404, 405, 413, 415])
  for (const { headers } of answers) {
    t.strictSame(['server', 'x-powered-by', 'via'].filter((name) => new Map(headers).has(name)), [])
    t.ok(new Map(headers).has('date'))
  }
})

t.test('an answer on a connection that stays → it says for how long: 72 s, longer than proxies keep theirs', async (t) => {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1')
  socket.write(get('/livez').replace('Connection: close\r\n', ''))
  const [answer] = await once(socket, 'data')
  socket.destroy()
  t.equal(new Map(parseAnswer(Buffer.from(answer)).headers).get('keep-alive'), 'timeout=72')
})

t.test('a malformed request right behind a good one → 400 alone, and the connection ends', async (t) => {
  isLast(t, await exchange(origin, get('/livez').replace('Connection: close\r\n', '') + 'sentinel\r\n\r\n'), 'invalid_request', 'the second')
})

/** A login of ada that has arrived, and is held back while `work` is done with its connection. */
async function during (t: Test, app: FastifyInstance, work: (socket: Socket) => Promise<unknown>) {
  const { verify } = app.passwords
  const [arrived, held] = [signal(), signal()]
  const hold = t.intercept(app.passwords, 'verify', {
    value: async (...args: Parameters<typeof verify>) => {
      arrived.give()
      await held.given
      return await verify(...args)
    }
  })
  const body = JSON.stringify({ username: 'ada', password: PASSWORD })
  const socket = connect(Number(new URL(app.listeningOrigin).port), '127.0.0.1')
  const answer = socket.on('error', () => {}).toArray().catch(() => [])
  socket.write(lines(...postLogin('Connection: close', `Content-Length: ${body.length}`), body))
  await arrived.given
  hold.restore()
  await work(socket)
  held.give()
  return Buffer.concat(await answer).toString()
}

function connections ({ server }: FastifyInstance): Promise<number> {
  return new Promise((resolve) => server.getConnections((_, count) => resolve(count)))
}

function signal () {
  let give = () => {}
  const given = new Promise<void>((resolve) => { give = resolve })
  return { give, given }
}

t.test('a client that hangs up, or resets, before its answer → the service goes on', async (t) => {
  await register(app)
  for (const leave of ['destroy', 'resetAndDestroy'] as const) {
    const answer = await during(t, app, async (socket) => {
      socket[leave]()
      await eventually(async () => await connections(app) === 0)
    })
    t.equal(answer, '')
    await login(app)
  }
})

t.test('a client that resets its connection in the middle of a request → the service goes on', async (t) => {
  const failed = once(app.server, 'clientError')
  const answered = once(app.server, 'request')
  // What is closed while an answer lies there unread is reset.
  const socket = connect(Number(new URL(origin).port), '127.0.0.1').pause()
  socket.write(get('/livez').replace('Connection: close\r\n', '') + 'POST /login HTTP/1.1\r\nHost: x\r\nContent-')
  // The event's arguments.
  const [, response] = await answered as [IncomingMessage, ServerResponse]
  await eventually(async () => response.writableFinished)
  socket.destroy()
  t.match(await failed, [{ code: 'ECONNRESET' }, { destroyed: true }])
  t.match(await exchange(origin, get('/livez')), /^HTTP\/1.1 200 /)
})

t.test('a request on a connection that was open when the service began to stop → its answer as ever, and the connection ends', async (t) => {
  const app = await build(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  await register(app)
  const accepted = once(app.server, 'connection')
  const socket = connect(Number(new URL(app.listeningOrigin).port), '127.0.0.1')
  await accepted
  const closed = app.close()
  await eventually(async () => !app.server.listening)
  const body = JSON.stringify({ username: 'ada', password: PASSWORD })
  socket.write(lines(...postLogin(`Content-Length: ${body.length}`), body))
  t.match(Buffer.concat(await socket.toArray()).toString(), /^HTTP\/1.1 200 [^]*connection: close[^]*"access_token"/i)
  await closed
})

/** A service that waits no longer than a second for a request. */
async function impatient (t: Test) {
  const app = await build(t, { env: { LATCHKEY_REQUEST_TIMEOUT: '1s' } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

const slow: [string, string, string][] = [
  ['a body that comes byte by byte', lines(...postLogin('Content-Length: 10000'), ''), ' '],
  ['a body in chunks without end', lines(...postLogin('Transfer-Encoding: chunked'), ''), '1\r\n \r\n'],
  ['headers that come byte by byte', lines('POST /login HTTP/1.1', 'Host: x', 'X: '), 'a'],
  ['half a start line', 'GET /li', ''],
  ['nothing at all', '', '']
]

t.test('a request that takes too long → 408 request_timeout, one line of the log, and the connection ends', async (t) => {
  const app = await impatient(t)
  const log = captureLog(t, app, 'info')
  const ids = await Promise.all(slow.map(async ([what, start, more]) => {
    const socket = connect(Number(new URL(app.listeningOrigin).port), '127.0.0.1')
    const answer = socket.on('error', () => {}).toArray()
    socket.write(start)
    // Each byte comes soon after the last: it is the whole that is too slow.
    const dripping = setInterval(() => socket.write(more), 100)
    const id = isLast(t, received(start, await answer), 'request_timeout', what)
    clearInterval(dripping)
    return id
  }))
  await eventually(async () => log.length >= slow.length)
  t.strictSame(log.map(({ reqId }) => reqId).sort(), ids.sort())
  for (const line of log) t.match(line, { status: 408, code: 'ERR_HTTP_REQUEST_TIMEOUT', ip: '127.0.0.1', msg: 'request' })
  t.strictSame(log.map(({ path }) => path).filter(Boolean), ['/login', '/login'], 'that of the request, where its headers had come')
  t.match(await exchange(app.listeningOrigin, get('/livez')), /^HTTP\/1.1 200 /, 'the service goes on')
})

t.test('a client that goes on holding its connection after a 408 → the connection ends all the same', async (t) => {
  const app = await impatient(t)
  const socket = connect({ port: Number(new URL(app.listeningOrigin).port), host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.write('GET /li')
  socket.resume()
  await once(socket, 'end')
  t.equal(await connections(app), 1, 'it has ended on one side alone')
  await eventually(async () => await connections(app) === 0)
})

t.test('a request that arrives in time, however long its answer takes → its answer: 200', async (t) => {
  const app = await impatient(t)
  await register(app)
  const answer = await during(t, app, async (socket) => {
    await delay(2_500)
    t.notOk(socket.destroyed)
  })
  t.match(answer, /^HTTP\/1.1 200 [^]*"access_token"/)
})
