import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { eventually, sql } from './fixtures/accounts.ts'
import { folder } from './fixtures/app.ts'
import { ask } from './fixtures/process.ts'
import { dataIn, type Server, startServer } from './fixtures/server.ts'
import { exchange, get } from './fixtures/socket.ts'

/** One server for the whole file; its log at the finest level. */
const path = folder(t)
const server = startServer(t, { ...dataIn(path), LOG_LEVEL: 'trace', LATCHKEY_BCRYPT_COST: '12' })
const origin = await server.origin
await eventually(async () => linesOf(server).some(({ audit }) => audit === 'sys_startup'))

/** No value of a request may come up in the log but its user agent, in an audit event; these are in all of them. */
const PASSWORD = 'sentinel-password'
const EMAIL = 'sentinel-address@example.com'
const SENTINEL = { 'user-agent': 'agent', cookie: 'sentinel=cookie', 'x-sentinel': 'sentinel-header' }

interface Line {
  level: number
  reqId?: string
  msg: string
  audit?: string
  [more: string]: unknown
}

function linesOf ({ printed }: Server): Line[] {
  // What follows the last line break is no whole line yet.
  return printed.out.split('\n').slice(0, -1).map((line) => JSON.parse(line))
}

/** The lines that `work` adds to the log; it is waited for until there are `count` of requests among them. */
async function logged (work: () => Promise<unknown>, count: number): Promise<Line[]> {
  const before = linesOf(server).length
  await work()
  const added = () => linesOf(server).slice(before)
  await eventually(async () => added().filter(({ msg }) => msg === 'request').length >= count)
  return added()
}

async function send (method: string, path: string, body?: object | string, headers: Record<string, string> = {}) {
  return await ask(origin + path, {
    method,
    headers: { ...SENTINEL, ...(body && { 'content-type': 'application/json' }), ...headers },
    ...(body && { body: typeof body === 'string' ? body : JSON.stringify(body) })
  })
}

/** The members of an answer that the test looks at are text. */
async function bodyOf (response: Promise<Response>): Promise<Record<string, string>> {
  return JSON.parse(await (await response).text())
}

function tellsNothing (t: Test, tokens: string[] = []) {
  t.notMatch(server.printed.out, /sentinel/i)
  for (const token of tokens) for (const part of token.split('.').slice(1)) t.notOk(server.printed.out.includes(part), 'no part of a token')
}

t.test('a request → one line of JSON: method, path, status, time, address; no header, body, query or token', async (t) => {
  let tokens: string[] = []
  const calls: [string, string, number][] = [
    ['POST', '/register', 201], ['POST', '/login', 200], ['POST', '/refresh', 200], ['GET', '/private', 200], ['GET', '/private', 401],
    ['POST', '/login', 401], ['POST', '/login', 400], ['POST', '/login', 400], ['POST', '/logout', 204], ['DELETE', '/me', 405], ['GET', '/nothing', 404], ['GET', '/docs/static/nothing', 404]
  ]
  const lines = await logged(async () => {
    await send('POST', '/register?password=sentinel', { username: 'ada', email: EMAIL, password: PASSWORD })
    const { access_token: access = '', refresh_token: token = '' } = await bodyOf(send('POST', '/login', { username: EMAIL, password: PASSWORD }))
    const { access_token: second = '', refresh_token: next = '' } = await bodyOf(send('POST', '/refresh', { refresh_token: token }))
    tokens = [access, token, second, next]
    await send('GET', `/private?access_token=${access}`, undefined, { authorization: `Bearer ${access}` })
    await send('GET', '/private', undefined, { authorization: 'Bearer sentinel.sentinel.sentinel' })
    await send('POST', '/login', { username: EMAIL, password: 'sentinel-wrong' })
    await send('POST', '/login', { username: ['sentinel'], password: { sentinel: 1 }, sentinel: 'sentinel' })
    await send('POST', '/login', '{"username":"sentinel"')
    await send('POST', '/logout', { refresh_token: next })
    await send('DELETE', `/me?token=${second}`)
    await send('GET', '/nothing?sentinel=sentinel')
    await send('GET', '/docs/static/nothing?sentinel')
  }, calls.length)

  const [requests, events] = [lines.filter(({ msg }) => msg === 'request'), lines.filter(({ msg }) => msg === 'audit')]
  t.strictSame(requests.map(({ method, path, status }) => [method, path, status]), calls)
  for (const line of requests) {
    t.strictSame(Object.keys(line), ['level', 'time', 'pid', 'hostname', 'reqId', 'method', 'path', 'status', 'ms', 'ip', 'msg'])
    t.match(line, { level: 30, msg: 'request', ip: '127.0.0.1', reqId: /^[0-9a-f-]{36}$/, ms: Number })
  }
  t.strictSame(events.map(({ audit }) => audit), ['user_created', 'authn_login_success', 'session_created', 'authz_fail', 'authn_login_fail', 'session_logout'])
  t.strictSame(new Set(events.map(({ reqId }) => requests.some((request) => request.reqId === reqId))), new Set([true]), 'each names its request')
  t.equal(requests.length + events.length, lines.length, 'and nothing else')
  t.notOk(tokens.includes(''))
  tellsNothing(t, tokens)
})

t.test('a problem names its line: request_id is reqId', async (t) => {
  let id: string | undefined
  const [line] = await logged(async () => { id = (await bodyOf(send('GET', '/private')))['request_id'] }, 1)
  t.type(id, 'string')
  t.match(line, { reqId: id, status: 401 })
})

t.test('an answer that is no problem names its line, too: X-Request-Id is reqId', async (t) => {
  for (const path of ['/livez', '/docs', '/.well-known/jwks.json']) {
    let id: string | null = null
    const [line] = await logged(async () => { id = (await send('GET', path)).headers.get('x-request-id') }, 1)
    t.type(id, 'string')
    t.match(line, { reqId: id, path, status: 200 })
  }
})

t.test('a request whose path cannot be decoded, has a fragment, or tries to forge a line → one line of its own', async (t) => {
  const lines = await logged(async () => {
    await exchange(origin, get('/%zz?sentinel'))
    await exchange(origin, get('/private#access_token=sentinel'))
    await exchange(origin, get(`/sessions/${'a'.repeat(200)}?sentinel`).replace('GET', 'DELETE'))
    await exchange(origin, get('/%0a{"level":30,"msg":"forged"}"\\u000a'))
    await exchange(origin, get('/livez?sentinel', 'X-Request-Id: sentinel', 'Request-Id: sentinel'))
  }, 5)
  t.strictSame(lines.map(({ path, status }) => [path, status]), [
    ['/%zz', 400], ['/private', 401], [`/sessions/${'a'.repeat(200)}`, 404], ['/%0a{"level":30,"msg":"forged"}"\\u000a', 404], ['/livez', 200]
  ])
  tellsNothing(t)
})

t.test('a request for a whole URL, of any scheme → its path alone, without the password before its host: 200, 404', async (t) => {
  const lines = await logged(async () => {
    for (const scheme of ['http', 'HTTPS', 'ftp', 'ws']) await exchange(origin, get(`${scheme}://sentinel:sentinel@x/livez?sentinel`))
  }, 4)
  t.strictSame(lines.map(({ path, status }) => [path, status]), [['/livez', 200], ['/livez', 200], ['/livez', 404], ['/livez', 404]])
  tellsNothing(t)
})

t.test('what is no request, and a body that breaks off → one line of its own with the status and why, the id of its problem, and nothing that was sent: 400, 431', async (t) => {
  const answers: string[] = []
  const chunked = ['POST /login?sentinel HTTP/1.1', 'Host: x', 'Content-Type: application/json', 'Transfer-Encoding: chunked', '', 'sentinel', ''].join('\r\n')
  const lines = await logged(async () => {
    for (const bytes of ['SENTINEL / HTTP/1.1\r\n\r\n', get('/private', `X: ${'sentinel'.repeat(3_000)}`), chunked]) answers.push(await exchange(origin, bytes))
  }, 3)
  const ids = answers.map((answer) => JSON.parse(answer.split('\r\n\r\n')[1] ?? '').request_id)
  const common = { level: 30, ip: '127.0.0.1', msg: 'request' }
  t.strictSame(lines.map(({ time, pid, hostname, ms, ...line }) => line), [
    { ...common, reqId: ids[0], status: 400, code: 'HPE_INVALID_METHOD' },
    { ...common, reqId: ids[1], status: 431, code: 'HPE_HEADER_OVERFLOW' },
    { ...common, reqId: ids[2], method: 'POST', path: '/login', status: 400, code: 'HPE_INVALID_CHUNK_SIZE' }
  ])
  tellsNothing(t)
})

t.test('a client that hangs up before its answer → one line all the same, which says so', async (t) => {
  const body = JSON.stringify({ username: 'sentinel', password: PASSWORD })
  const [line, ...more] = await logged(async () => {
    const socket = connect(Number(new URL(origin).port), '127.0.0.1')
    const head = ['POST /login HTTP/1.1', 'Host: x', 'Content-Type: application/json', `Content-Length: ${body.length}`, '', '']
    await new Promise((resolve) => socket.write(head.join('\r\n') + body, resolve))
    socket.destroy()
    await once(socket, 'close')
  }, 1)
  t.match(line, { method: 'POST', path: '/login', gone: true, ip: '127.0.0.1', ms: Number })
  t.notOk(line && 'status' in line)
  t.strictSame(more, [])
  await eventually(async () => linesOf(server).some(({ audit, reqId }) => audit === 'authn_login_fail' && reqId === line?.reqId))
  tellsNothing(t)
})

t.test('what fails inside → 500, 503, and one line more, with the error and no value of the request', async (t) => {
  sql(path, 'UPDATE users SET claims = ? WHERE username_key = ?', '{', 'ada')
  const broken = await logged(() => send('POST', '/login', { username: EMAIL, password: PASSWORD }), 1)
  t.match(broken, [{ level: 50, msg: 'internal error', err: { type: 'SyntaxError', stack: String } }, { status: 500 }])

  sql(path, 'ALTER TABLE users RENAME TO elsewhere')
  const away = await logged(() => send('POST', '/login', { username: EMAIL, password: PASSWORD }), 1)
  t.match(away, [{ level: 50, msg: 'the database is unavailable', err: { type: 'Unavailable' } }, { status: 503 }])
  const afresh = await logged(() => send('POST', '/register', { username: 'sentinel', email: EMAIL, password: PASSWORD }), 1)
  t.match(afresh, [{ level: 50, err: { type: 'Unavailable' } }, { status: 503 }])
  t.strictSame([...broken, ...away, ...afresh].filter(({ reqId }) => reqId === undefined), [])
  tellsNothing(t)
})
