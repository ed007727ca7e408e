import { randomUUID } from 'node:crypto'
import t from 'tap'
import { bearer, build, fakeClock, folder, login, PASSWORD, post, refresh, register, registerAndLogin } from '../fixtures/app.ts'
import { isProblem, lasting, failWrites, select, sql, tokensAnswer } from '../fixtures/accounts.ts'
import { decode } from '../fixtures/forge.ts'
import type { Pair } from '../fixtures/sockets.ts'

const DAY = 86_400_000

const path = folder(t)
const clock = fakeClock()
const app = await build(t, { path, now: clock.now })

const list = (token: string) => app.inject({ url: '/sessions', headers: bearer(token) })
const idsOf = async (token: string): Promise<string[]> => (await list(token)).json().map(({ id }: { id: string }) => id)
const end = (id: unknown, token: string) => app.inject({ method: 'DELETE', url: `/sessions/${id}`, headers: bearer(token) })
const sidOf = ({ access_token: token }: Pick<Pair, 'access_token'>) => decode(token).payload['sid']
const time = (ms = clock.now()) => new Date(ms).toISOString()

t.test('GET /sessions → 200 and the caller\'s sessions, the oldest first, and no more of each', async (t) => {
  await register(app, 'ada')
  const begun = clock.now()
  const from = (remoteAddress: string, agent: string) =>
    app.inject({ method: 'POST', url: '/login', remoteAddress, headers: { 'user-agent': agent }, payload: { username: 'ada', password: PASSWORD } })
  const phone: Pair = (await from('203.0.113.7', 'phone')).json()
  clock.advance(60_000)
  const laptop: Pair = (await from('2001:db8::7', 'laptop')).json()
  await registerAndLogin(app, 'eve')

  const response = await list(laptop.access_token)
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.equal(response.headers['cache-control'], 'no-store')
  const ofPhone = {
    id: sidOf(phone),
    created_at: time(begun),
    last_used_at: time(begun),
    expires_at: time(begun + 14 * DAY),
    ip: '203.0.113.7',
    user_agent: 'phone',
    current: false
  }
  const ofLaptop = {
    id: sidOf(laptop),
    created_at: time(),
    last_used_at: time(),
    expires_at: time(clock.now() + 14 * DAY),
    ip: '2001:db8::7',
    user_agent: 'laptop',
    current: true
  }
  t.strictSame(response.json(), [ofPhone, ofLaptop])
  t.strictSame((await list(phone.access_token)).json(), [{ ...ofPhone, current: true }, { ...ofLaptop, current: false }])

  clock.advance(60_000)
  const refreshFrom = (remoteAddress: string) => app.inject({ method: 'POST', url: '/refresh', remoteAddress, payload: { refresh_token: phone.refresh_token } })
  const { access_token: token } = (await refreshFrom('198.51.100.9')).json()
  const used = { ...ofPhone, last_used_at: time(), expires_at: time(clock.now() + 14 * DAY), ip: '198.51.100.9', current: true }
  t.strictSame((await list(token)).json(), [used, { ...ofLaptop, current: false }], 'a refresh is a use')
  clock.advance(5_000)
  await refreshFrom('203.0.113.7')
  t.strictSame((await list(token)).json()[0], used, 'a replay is none')
})

t.test('GET /sessions says when a session ends at the latest → 200', async (t) => {
  let pair: Pair = await registerAndLogin(app, 'steady')
  const ends = time(clock.now() + 30 * DAY)
  for (const days of [10, 10]) {
    clock.advance(days * DAY)
    pair = (await refresh(app, pair.refresh_token)).json()
  }
  t.match((await list(pair.access_token)).json(), [{ expires_at: ends }])
})

t.test('GET /sessions leaves out those that have ended → 200', async (t) => {
  await register(app, 'many')
  const pairs: Pair[] = []
  for (let i = 0; i < 5; i++) {
    pairs.push(await login(app, 'many'))
    clock.advance(1)
  }
  const [loggedOut, ended, reused, idle, over] = pairs.map((pair) => ({ ...pair, sid: sidOf(pair) }))
  const current = await login(app, 'many')
  t.strictSame(await idsOf(current.access_token), [...pairs, current].map(sidOf))

  await post(app, '/logout', { refresh_token: loggedOut?.refresh_token })
  await end(ended?.sid, current.access_token)
  await refresh(app, (await refresh(app, reused?.refresh_token ?? '')).json().refresh_token)
  await refresh(app, reused?.refresh_token ?? '')
  sql(path, 'UPDATE sessions SET idle_expires_at = ? WHERE id = ?', clock.now(), idle?.sid)
  sql(path, 'UPDATE sessions SET expires_at = ? WHERE id = ?', clock.now(), over?.sid)
  t.strictSame(await idsOf(current.access_token), [sidOf(current)])
})

t.test('GET /sessions and DELETE /sessions/{id} without a good token → 401', async (t) => {
  const pair = await registerAndLogin(app, 'guarded')
  for (const [method, url] of [['GET', '/sessions'], ['DELETE', `/sessions/${sidOf(pair)}`], ['DELETE', '/sessions/nonsense']] as const) {
    isProblem(t, await app.inject({ method, url }), 'missing_token')
    isProblem(t, await app.inject({ method, url, headers: bearer(pair.refresh_token) }), 'invalid_token')
  }
  t.equal((await app.inject({ method: 'HEAD', url: '/sessions' })).statusCode, 401)
  t.equal((await app.inject({ method: 'HEAD', url: '/sessions', headers: bearer(pair.access_token) })).statusCode, 200)
  t.strictSame(await tokensAnswer(app, pair), { access: 200, refresh: 200 })
})

t.test('DELETE /sessions/{id} → 204 without a body; its tokens are dead at once, and this session goes on', async (t) => {
  const lost = await registerAndLogin(app, 'owner')
  const own = await login(app, 'owner')
  const refreshed: Pair = (await refresh(app, lost.refresh_token)).json()
  const response = await end(sidOf(lost), own.access_token)
  t.equal(response.statusCode, 204)
  t.equal(response.body, '')
  t.equal(response.headers['cache-control'], 'no-store')
  for (const pair of [lost, refreshed]) t.strictSame(await tokensAnswer(app, pair), { access: 401, refresh: 401 })
  t.strictSame(await tokensAnswer(app, own), { access: 200, refresh: 200 })
  isProblem(t, await end(sidOf(lost), own.access_token), 'not_found')
})

t.test('DELETE /sessions/{id} with the id in capitals → 204, and the audit has it as it is', async (t) => {
  const pair = await registerAndLogin(app, 'shouting')
  t.equal((await end(String(sidOf(pair)).toUpperCase(), pair.access_token)).statusCode, 204)
  t.strictSame(await tokensAnswer(app, pair), { access: 401, refresh: 401 })
  t.strictSame(select(path, 'SELECT event FROM audit_events WHERE session_id = ? ORDER BY id DESC', sidOf(pair))[0], { event: 'session_logout' })
})

t.test('DELETE /sessions/{id} of the caller\'s own session → 204, and its access token is dead', async (t) => {
  const pair = await registerAndLogin(app, 'leaving')
  t.equal((await end(sidOf(pair), pair.access_token)).statusCode, 204)
  isProblem(t, await end(sidOf(pair), pair.access_token), 'invalid_token')
  t.strictSame(await tokensAnswer(app, pair), { access: 401, refresh: 401 })
})

t.test('DELETE /sessions/{id} of another user, of none, or of one that has ended → one 404, and nothing ends', async (t) => {
  const victim = await registerAndLogin(app, 'victim')
  const { access_token: token } = await registerAndLogin(app, 'attacker')
  const over = await login(app, 'attacker')
  await post(app, '/logout', { refresh_token: over.refresh_token })
  const [idle, old] = [await login(app, 'attacker'), await login(app, 'attacker')]
  sql(path, 'UPDATE sessions SET idle_expires_at = ? WHERE id = ?', clock.now(), sidOf(idle))
  sql(path, 'UPDATE sessions SET expires_at = ? WHERE id = ?', clock.now(), sidOf(old))

  const unknown = await end(randomUUID(), token)
  isProblem(t, unknown, 'not_found')
  for (const id of [
    sidOf(victim), victim.user.id, sidOf(over), sidOf(idle), sidOf(old), 'nonsense', '0', '%00', '..%2f..', `${sidOf(victim)}x`, `{${sidOf(victim)}}`,
    `urn:uuid:${sidOf(victim)}`, '00000000-0000-0000-0000-000000000000', '%27%20OR%201=1', 'x'.repeat(90)
  ]) t.strictSame(lasting(await end(id, token)), lasting(unknown), String(id))
  t.strictSame(await tokensAnswer(app, victim), { access: 200, refresh: 200 })
  t.equal((await list(token)).json().length, 1)
})

t.test('DELETE /sessions → 405; every answer of a session\'s own path names what it allows', async (t) => {
  const { access_token: token } = await registerAndLogin(app, 'curious')
  const collection = await app.inject({ method: 'DELETE', url: '/sessions', headers: bearer(token) })
  isProblem(t, collection, 'method_not_allowed')
  t.equal(collection.headers['allow'], 'GET, HEAD')
  const one = await app.inject({ url: `/sessions/${randomUUID()}`, headers: bearer(token) })
  isProblem(t, one, 'method_not_allowed')
  t.equal(one.headers['allow'], 'DELETE')
})

t.test('DELETE /sessions/{id} while the database cannot answer → 503 unavailable, and the session goes on', async (t) => {
  const pair = await registerAndLogin(app, 'unlucky')
  const mend = failWrites(path, 'sessions', 'revoked_at')
  isProblem(t, await end(sidOf(pair), pair.access_token), 'unavailable')
  mend()
  t.strictSame(await tokensAnswer(app, pair), { access: 200, refresh: 200 })
})
