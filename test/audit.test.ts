import { once } from 'node:events'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { build as buildApp } from '../src/app.ts'
import { auditEvents } from '../src/audit.ts'
import { Unavailable } from '../src/unavailable.ts'
import { isProblem, select, sql } from './fixtures/accounts.ts'
import { bearer, build, fakeClock, folder, login, PASSWORD, post, refresh, register, registerAndLogin, settings, tryLogin } from './fixtures/app.ts'
import { commandLine, exported, imported } from './fixtures/commands.ts'
import { dataIn } from './fixtures/database.ts'
import { decode } from './fixtures/forge.ts'
import { captureLog } from './fixtures/refresh.ts'
import { exchange } from './fixtures/socket.ts'
import { adjustableClocks } from './fixtures/timers.ts'

const GRACE = 10_000
const DAY = 86_400_000

const path = folder(t)
const clock = fakeClock()
const app = await build(t, { path, now: clock.now, env: { LATCHKEY_COOKIES: 'on' } })
const log = captureLog(t, app, 'info')
const latchkey = commandLine(path, clock.now)

const client = { remoteAddress: '203.0.113.7', headers: { 'user-agent': 'a browser', 'x-request-id': '0199d0c3-0000-4000-8000-000000000001' } }
/** What each event tells of `client`. */
const source = { ip: '203.0.113.7', user_agent: 'a browser', request_id: client.headers['x-request-id'] }
const operator = { ip: null, user_agent: 'latchkey command line', request_id: null }

/** Every event that one of the tests has seen. */
const seen = new Set<unknown>()

/** The rows of the table that `work` adds, in their order. */
async function recorded (work: () => Promise<unknown>, from = path): Promise<Record<string, unknown>[]> {
  const last = select(from, 'SELECT max(id) AS id FROM audit_events')[0]?.['id']
  await work()
  const rows = select(from, 'SELECT * FROM audit_events WHERE id > ? ORDER BY id', last ?? '')
  for (const { event } of rows) seen.add(event)
  return rows
}

/** A call from `client`; the test asserts how it is answered. */
function call (t: Test, url: string, { status, body, token, headers, method = 'POST' }: { status: number, body?: object, token?: string, headers?: Record<string, string>, method?: 'POST' | 'DELETE' }) {
  return app.inject({
    ...client, method, url, headers: { ...client.headers, ...(token && bearer(token)), ...headers }, ...(body && { payload: body })
  }).then((response) => {
    t.equal(response.statusCode, status, `${method} ${url} → ${status}`)
    return response
  })
}

const sidOf = ({ access_token: token }: { access_token: string }) => decode(token).payload['sid']

/** Asserts what happened: the rows, and for each a line of the log that says the same. */
async function tells (t: Test, expected: Record<string, unknown>[], work: () => Promise<unknown>) {
  const before = log.length
  const rows = await recorded(work)
  const row = (event: Record<string, unknown>) => ({ at: clock.now(), user_id: null, session_id: null, details: null, ...source, ...event })
  t.strictSame(rows.map(({ id, ...rest }) => rest), expected.map((event) => row(event)))
  t.strictSame(log.slice(before).filter(({ msg }) => msg === 'audit').map(lineOf), expected.map((event) => lineOfRow(row(event))), 'the log says the same')
}

function lineOf ({ time, pid, hostname, ...line }: Record<string, unknown>) {
  return line
}

function lineOfRow ({ event, user_id: userId, session_id: sessionId, ip, user_agent: userAgent, request_id: reqId, details }: Record<string, unknown>) {
  return { level: 30, reqId, audit: event, userId, sessionId, ip, userAgent, ...(typeof details === 'string' && { details: JSON.parse(details) }), msg: 'audit' }
}

t.test('POST /register → 201: user_created; refused → nothing', async (t) => {
  const body = { username: 'new', password: PASSWORD }
  const rows = await recorded(() => call(t, '/register', { status: 201, body }))
  t.match(rows, [{ event: 'user_created', user_id: /^[0-9a-f-]{36}$/, ...source }])
  await tells(t, [], () => call(t, '/register', { status: 409, body }))
})

t.test('POST /login → 200: authn_login_success, session_created; 401: authn_login_fail, with the user when there is one, and never the name', async (t) => {
  const { id } = await register(app, 'ada')
  const right = { username: 'ada', password: PASSWORD }
  const rows = await recorded(() => call(t, '/login', { status: 200, body: right }))
  t.match(rows, [{ event: 'authn_login_success', user_id: id, ...source }, { event: 'session_created', user_id: id, ...source }])
  t.type(rows[0]?.['session_id'], 'string')
  t.equal(rows[1]?.['session_id'], rows[0]?.['session_id'])

  await tells(t, [{ event: 'authn_login_fail', user_id: id }], () => call(t, '/login', { status: 401, body: { ...right, password: 'wrong' } }))
  await tells(t, [{ event: 'authn_login_fail' }], () => call(t, '/login', { status: 401, body: { ...right, username: 'nobody' } }))
  t.match(await recorded(() => call(t, '/login', { status: 200, body: right })), [{ event: 'authn_login_successafterfail', user_id: id }, { event: 'session_created' }])
  t.match(await recorded(() => call(t, '/login', { status: 200, body: right })), [{ event: 'authn_login_success', user_id: id }, { event: 'session_created' }])
})

t.test('POST /login of a disabled account → authn_login_fail that says so, whatever the password', async (t) => {
  const { id } = await register(app, 'shut')
  await app.db.store.disableUser(id, clock.now())
  for (const password of [PASSWORD, 'wrong']) {
    await tells(t, [{ event: 'authn_login_fail', user_id: id, details: '{"disabled":true}' }], () => call(t, '/login', { status: 401, body: { username: 'shut', password } }))
  }
})

t.test('POST /login with a wrong password so often that the next has to wait → authn_login_lock; those that wait → nothing', async (t) => {
  const { id } = await register(app, 'guessed')
  const wrong = { username: 'guessed', password: 'wrong' }
  for (let failure = 1; failure < 5; failure++) await tells(t, [{ event: 'authn_login_fail', user_id: id }], () => call(t, '/login', { status: 401, body: wrong }))
  await tells(t, [{ event: 'authn_login_fail', user_id: id }, { event: 'authn_login_lock', user_id: id }], () => call(t, '/login', { status: 401, body: wrong }))
  await tells(t, [], () => call(t, '/login', { status: 429, body: wrong }))
})

t.test('POST /refresh: an ordinary rotation and a retry from the same address → nothing; each of the others has its event', async (t) => {
  const first = await registerAndLogin(app, 'refreshing')
  const subject = { user_id: first.user.id, session_id: sidOf(first) }
  const body = (token: string) => ({ status: 200, body: { refresh_token: token } })
  let second = first
  await tells(t, [], async () => { second = (await call(t, '/refresh', body(first.refresh_token))).json() })
  await tells(t, [], () => call(t, '/refresh', body(first.refresh_token)))
  t.match(await recorded(() => refresh(app, first.refresh_token)), [{ event: 'session_replayed_elsewhere', ...subject, ip: '127.0.0.1' }], 'a retry from another address')

  clock.advance(GRACE + 1)
  await tells(t, [{ event: 'session_recovered', ...subject }], () => call(t, '/refresh', body(first.refresh_token)))
  await tells(t, [], () => call(t, '/refresh', body(second.refresh_token)))
  await tells(t, [{ event: 'authn_token_reuse', ...subject }], () => call(t, '/refresh', { ...body(first.refresh_token), status: 401 }))
  await tells(t, [], () => call(t, '/refresh', { ...body(first.refresh_token), status: 401 }))
})

t.test('POST /refresh with a token newer than the database → 200: session_fast_forward', async (t) => {
  const first = await registerAndLogin(app, 'restored')
  const before = select(path, 'SELECT * FROM sessions WHERE id = ?', sidOf(first))[0]
  const { refresh_token: second } = (await refresh(app, first.refresh_token)).json()
  const { refresh_token: third } = (await refresh(app, second)).json()
  sql(path, 'UPDATE sessions SET generation = ?, first = ?, previous = ? WHERE id = ?', before?.['generation'], before?.['first'], before?.['previous'], sidOf(first))
  await tells(t, [{ event: 'session_fast_forward', user_id: first.user.id, session_id: sidOf(first) }],
    () => call(t, '/refresh', { status: 200, body: { refresh_token: third } }))
})

t.test('POST /logout, DELETE /sessions/{id} → 204: session_logout, once; POST /logout/all → 204: session_logout_all', async (t) => {
  const { user: { id: userId }, ...first } = await registerAndLogin(app, 'leaving')
  const [second, third] = [await login(app, 'leaving'), await login(app, 'leaving')]
  const out = { status: 204, body: { refresh_token: first.refresh_token } }
  await tells(t, [{ event: 'session_logout', user_id: userId, session_id: sidOf(first) }], () => call(t, '/logout', out))
  await tells(t, [], () => call(t, '/logout', out))
  await tells(t, [], () => call(t, '/logout', { ...out, body: { refresh_token: 'garbage' } }))

  const url = `/sessions/${sidOf(second)}`
  await tells(t, [{ event: 'session_logout', user_id: userId, session_id: sidOf(second) }], () => call(t, url, { method: 'DELETE', status: 204, token: third.access_token }))
  await tells(t, [], () => call(t, url, { method: 'DELETE', status: 404, token: third.access_token }))
  await tells(t, [{ event: 'session_logout_all', user_id: userId }], () => call(t, '/logout/all', { status: 204, token: third.access_token }))
})

t.test('POST /password → 204: authn_password_change; 401: authn_password_change_fail', async (t) => {
  const tokens = await registerAndLogin(app, 'changing')
  const change = (current: string, status: number) => call(t, '/password', { status, token: tokens.access_token, body: { current_password: current, new_password: 'another good password' } })
  await tells(t, [{ event: 'authn_password_change_fail', user_id: tokens.user.id }], () => change('wrong', 401))
  await tells(t, [{ event: 'authn_password_change', user_id: tokens.user.id, session_id: sidOf(tokens) }], () => change(PASSWORD, 204))
})

t.test('POST /refresh with the cookie from another site → 403: malicious_cross_site', async (t) => {
  const headers = { cookie: 'latchkey=x', origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }
  await tells(t, [{ event: 'malicious_cross_site' }], () => call(t, '/refresh', { status: 403, headers }))
})

t.test('DELETE /sessions/{id} of another user → 404: authz_fail, once a minute from one address; of nobody or of an own one that is over → nothing', async (t) => {
  const putForward = adjustableClocks(t)
  const [victim, thief] = [await registerAndLogin(app, 'victim'), await registerAndLogin(app, 'thief')]
  const over = await login(app, 'thief')
  const end = (id: unknown, status = 404) => call(t, `/sessions/${id}`, { method: 'DELETE', status, token: thief.access_token })
  await end(sidOf(over), 204)
  await tells(t, [], async () => { for (const id of [sidOf(over), victim.user.id]) await end(id) })
  const refused = { event: 'authz_fail', user_id: thief.user.id, session_id: sidOf(thief), details: JSON.stringify({ refused: 'session', wanted: sidOf(victim) }) }
  await tells(t, [refused], async () => { for (let i = 0; i < 3; i++) await end(sidOf(victim)) })
  putForward(59_000)
  await tells(t, [], () => end(sidOf(victim)))
  putForward(1_000)
  await tells(t, [refused], () => end(sidOf(victim)))
})

t.test('a bad access token → 401: authz_fail, once a minute from one address, whatever the clock is set to; none, an expired one, one of an ended session → nothing', async (t) => {
  const putForward = adjustableClocks(t)
  const { access_token: ended, refresh_token: token } = await registerAndLogin(app, 'gone')
  const { access_token: expired } = await login(app, 'gone')
  const open = async (authorization?: string, remoteAddress = client.remoteAddress) =>
    t.equal((await app.inject({ ...client, remoteAddress, url: '/private', headers: { ...client.headers, ...(authorization && { authorization }) } })).statusCode, 401)
  // What the tests before were refused is forgotten.
  putForward(600_000)
  await post(app, '/logout', { refresh_token: token })
  await tells(t, [], () => open(`Bearer ${ended}`))
  clock.advance(15 * 60_000)
  await tells(t, [], async () => { for (const header of [undefined, `Bearer ${expired}`]) await open(header) })
  const refused = { event: 'authz_fail', details: JSON.stringify({ refused: 'access_token' }) }
  await tells(t, [refused], async () => { for (let i = 0; i < 3; i++) await open('Bearer forged') })
  await tells(t, [{ ...refused, ip: '203.0.113.8' }], () => open('Bearer forged', '203.0.113.8'))
  putForward(60_000)
  await tells(t, [refused], () => open(`Bearer ${expired.slice(0, -4)}AAAA`))
  const rows = await recorded(async () => { for (let i = 0; i < 120; i++) await open('Bearer forged', `10.0.0.${i}`) })
  t.equal(rows.length, 99, 'of all addresses together no more than a hundred in a minute')

  const before = log.length
  clock.advance(-DAY)
  putForward(60_000)
  await open('Bearer forged')
  clock.advance(DAY)
  // The table is in the order of the clock, so its newest row is another.
  t.strictSame(log.slice(before).filter(({ msg }) => msg === 'audit').map(({ audit }) => audit), ['authz_fail'])
})

t.test('requests over a limit → 429: excess_rate_limit_exceeded, once in its window', async (t) => {
  const path = folder(t)
  const app = await build(t, { path, env: { LATCHKEY_RATE_LIMIT: 'default=2/1m,login=1/1m' } })
  const lines = captureLog(t, app, 'info')
  const statuses: number[] = []
  const rows = await recorded(async () => {
    for (let i = 0; i < 4; i++) statuses.push((await app.inject({ ...client, url: '/private' })).statusCode)
    for (let i = 0; i < 3; i++) statuses.push((await app.inject({ ...client, method: 'POST', url: '/login', payload: { username: 'x', password: 1 } })).statusCode)
  }, path)
  t.strictSame(statuses, [401, 401, 429, 429, 400, 429, 429])
  t.match(rows, ['default', 'login'].map((limit) => ({ event: 'excess_rate_limit_exceeded', ...source, details: JSON.stringify({ limit }) })))
  t.equal(rows.length, 2)
  t.match(lines.filter(({ msg }) => msg === 'audit'), [{ details: { limit: 'default' } }, { details: { limit: 'login' } }])
})

t.test('what an operator does at the command line is recorded too; what changes nothing is not', async (t) => {
  const { id } = await register(app, 'operated')
  const by = (event: string, details: object | null = null) => ({ event, user_id: id, session_id: null, ...operator, at: clock.now(), details: details && JSON.stringify(details) })
  const shown = async (...args: string[]) => (await recorded(() => latchkey(...args))).map(({ id, ...row }) => row)
  t.strictSame(await shown('users', 'disable', 'operated'), [by('user_disabled')])
  t.strictSame(await shown('users', 'disable', 'operated'), [])
  t.strictSame(await shown('users', 'enable', 'operated'), [by('user_enabled')])
  t.strictSame(await shown('users', 'enable', 'operated'), [])
  t.strictSame(await shown('users', 'set-claims', 'operated', '{"is_admin":true}'), [by('user_updated', { claims: { is_admin: true } })])

  t.strictSame(await shown('users', 'set-email', 'operated', 'operated@example.com'), [by('user_updated', { email_verified: false })])
  t.strictSame(await shown('sessions', 'revoke', '--user', 'operated'), [by('session_revoked', { all: true })])
  t.strictSame(await shown('users', 'delete', 'operated', '--yes'), [by('user_deleted')])

  const [rotated] = await shown('keys', 'rotate')
  const { kid, alg, active_from: activeFrom } = JSON.parse(String(rotated?.['details']))
  t.strictSame(rotated, { ...by('signing_key_rotated', { kid, alg, active_from: activeFrom }), user_id: null })
  t.equal(new Date(activeFrom).toISOString(), activeFrom)
  t.strictSame(await shown('keys', 'revoke', kid), [{ ...by('signing_key_revoked', { kid }), user_id: null }])
  t.strictSame(await shown('keys', 'list'), [])

  const env = dataIn(path)
  const [row] = await recorded(async () => await imported(env, await exported(env), { now: clock.now }))
  t.match(row, { event: 'data_imported', user_id: null, details: /^{"added":0,"known":\d+,"refused":0}$/ })
})

t.test('a start, a fault that nobody caught, and an end → sys_startup, sys_crash, sys_shutdown, of nobody', async (t) => {
  const path = folder(t)
  const app = await buildApp(settings(path))
  const lines = captureLog(t, app, 'info')
  const rows = await recorded(async () => {
    await app.listen({ port: 0, host: '127.0.0.1' })
    // What `serve` does then; a whole process of it is in shutdown.test.ts.
    await app.audit('sys_crash')
    await app.close()
  }, path)
  t.match(rows, ['sys_startup', 'sys_crash', 'sys_shutdown'].map((event) => ({ event, user_id: null, session_id: null, ip: null, user_agent: null, request_id: null, details: null })))
  t.equal(rows.length, 3)
  t.match(lines.filter(({ msg }) => msg === 'audit'), [{ audit: 'sys_startup' }, { audit: 'sys_crash' }, { audit: 'sys_shutdown' }])
})

t.test('a start that fails, as the port is taken → neither sys_startup nor sys_shutdown', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const path = folder(t)
  const app = await buildApp(settings(path))
  t.strictSame(await recorded(async () => {
    // A server of TCP has an address of this form.
    await t.rejects(app.listen({ ...taken.address() as { port: number }, host: '127.0.0.1' }), { code: 'EADDRINUSE' })
    await app.close()
  }, path), [])
})

t.test('every event of the list has been recorded by what its name says', async (t) => {
  t.strictSame(auditEvents.filter((event) => !seen.has(event)), [])
})

t.test('a user agent is kept to 256 characters, and control characters in it as U+FFFD', async (t) => {
  const { rows, lines } = await agent('x\u009b31m\r\n\u0007' + 'y'.repeat(300))
  t.strictSame(rows, [`x\ufffd31m\ufffd\ufffd\ufffd${'y'.repeat(248)}`])
  t.strictSame(lines, rows)
  t.strictSame((await agent('')).rows, [''])

  async function agent (userAgent: string) {
    const before = log.length
    const rows = await recorded(() => app.inject({ method: 'POST', url: '/login', headers: { 'user-agent': userAgent }, payload: { username: 'nobody at all', password: 'x' } }))
    return { rows: rows.map((row) => row['user_agent']), lines: log.slice(before).filter(({ msg }) => msg === 'audit').map(({ userAgent }) => userAgent) }
  }
})

t.test('a request without a user agent → an event without one, and a session', async (t) => {
  await register(app, 'silent')
  const body = JSON.stringify({ username: 'silent', password: PASSWORD })
  const head = ['POST /login HTTP/1.1', 'Host: x', 'Connection: close', 'Content-Type: application/json', `Content-Length: ${body.length}`, '', body]
  const rows = await recorded(async () => {
    await app.listen({ port: 0, host: '127.0.0.1' })
    t.match(await exchange(app.listeningOrigin, head.join('\r\n')), /^HTTP\/1\.1 200 /)
  })
  t.match(rows, [{ event: 'sys_startup' }, { event: 'authn_login_success', user_agent: null }, { event: 'session_created', user_agent: null }])
  t.strictSame(select(path, 'SELECT user_agent FROM sessions WHERE id = ?', rows[1]?.['session_id']), [{ user_agent: '' }])
})

t.test('events that cannot be stored → the answers are what they would have been, and the log has both the events and why', async (t) => {
  const lost = await build(t, { path: folder(t) })
  const { refresh_token: token } = await registerAndLogin(lost)
  const lines = captureLog(t, lost, 'info')
  t.intercept(lost.db.store, 'insertAuditEvent', { value: async () => { throw new Unavailable(new Error('disk I/O error')) } })
  t.equal((await tryLogin(lost, 'ada')).statusCode, 200)
  isProblem(t, await tryLogin(lost, 'ada', 'wrong'), 'invalid_credentials')
  t.equal((await post(lost, '/logout', { refresh_token: token })).statusCode, 204)
  const events = ['authn_login_success', 'session_created', 'authn_login_fail', 'session_logout']
  t.strictSame(lines.filter(({ msg }) => msg === 'audit').map(({ audit }) => audit), events)
  const failures = lines.filter(({ level }) => Number(level) > 30)
  t.match(failures, events.map((audit) => ({ level: 50, audit, msg: 'an audit event could not be stored', err: { type: 'Unavailable' } })))
  t.equal(failures.length, events.length)
})

t.test('events older than LATCHKEY_AUDIT_RETENTION are purged, in batches of 100, and no other', async (t) => {
  const path = folder(t)
  const clock = fakeClock()
  const app = await build(t, { path, now: clock.now, env: { LATCHKEY_AUDIT_RETENTION: '7d' } })
  await Promise.all(Array.from({ length: 220 }, (_, i) => app.db.store.insertAuditEvent({
    id: `0-${String(i).padStart(4, '0')}`, event: 'authn_login_fail', at: clock.now() + (i < 200 ? 0 : 1), userId: null, sessionId: null, ip: null, userAgent: null, requestId: null, details: null
  })))
  const left = () => Number(select(path, 'SELECT count(*) AS n FROM audit_events')[0]?.['n'])
  const batches = t.capture(app.db.store, 'purgeAuditEvents', app.db.store.purgeAuditEvents)
  clock.advance(7 * DAY)
  await app.purge()
  t.equal(left(), 220, 'of just that age they stay')
  clock.advance(1)
  await app.purge()
  t.equal(left(), 20)
  clock.advance(1)
  await app.purge()
  t.equal(left(), 0)
  t.strictSame(await Promise.all(batches().map((batch) => 'returned' in batch ? batch.returned : -1)), [0, 100, 100, 0, 20])
})
