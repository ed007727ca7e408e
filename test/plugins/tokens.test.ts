import t from 'tap'
import { build, fakeClock, folder, login, newAddress, PASSWORD, post, refresh, register, tryLogin } from '../fixtures/app.ts'
import { eventually, select, sql } from '../fixtures/accounts.ts'
import { decode } from '../fixtures/forge.ts'

const path = folder(t)
const clock = fakeClock()
const app = await build(t, { path, now: clock.now, env: { LATCHKEY_METRICS: '127.0.0.1:0' } })
const seen = new Set()

/** The events since this was asked last, in the order in which they were recorded; those of one moment by their names. */
function events () {
  const fresh = select(path, 'SELECT id, event, user_id, session_id, ip FROM audit_events ORDER BY at, event').filter(({ id }) => !seen.has(id))
  for (const { id } of fresh) seen.add(id)
  return fresh.map(({ id, ...event }) => event)
}

async function counted (metric: string, labels = '') {
  const text = await app.metrics?.registry.getSingleMetricAsString(metric) ?? ''
  const line = text.split('\n').find((one) => one.startsWith(`${metric}${labels}`))
  return Number(line?.split(' ').at(-1) ?? 0)
}

t.test('POST /login → 200, recorded with the session and the address; after failures it says so; nothing that was typed is recorded', async (t) => {
  const { id } = await register(app, 'ada')
  events()
  const [from, sid] = [newAddress(), (token: string) => decode(token).payload['sid']]
  clock.advance(1)
  const first = (await tryLogin(app, 'ada', PASSWORD, from)).json()
  const about = { user_id: id, ip: from }
  t.same(events(), ['authn_login_success', 'session_created'].map((event) => ({ event, ...about, session_id: sid(first.access_token) })))
  clock.advance(1)
  await tryLogin(app, 'ada', 'a secret word', from)
  await tryLogin(app, 'a secret name', PASSWORD, from)
  t.same(events(), [{ event: 'authn_login_fail', ...about, session_id: null }, { event: 'authn_login_fail', user_id: null, ip: from, session_id: null }])
  clock.advance(1)
  const second = (await tryLogin(app, 'ada', PASSWORD, from)).json()
  t.same(events(), ['authn_login_successafterfail', 'session_created'].map((event) => ({ event, ...about, session_id: sid(second.access_token) })))
  t.notMatch(JSON.stringify(select(path, 'SELECT * FROM audit_events')), /secret/)
})

t.test('POST /login with one failure too many → 401, and the lock is recorded and counted, once for each delay', async (t) => {
  const { id } = await register(app, 'bob')
  const from = newAddress()
  const locks = await counted('latchkey_lockouts_total')
  events()
  for (let i = 0; i < 5; i++) {
    clock.advance(1)
    await tryLogin(app, 'bob', 'wrong password', from)
  }
  for (let i = 0; i < 5; i++) await tryLogin(app, 'bob', PASSWORD, from)
  t.strictSame(events().map(({ event }) => event), [...Array.from({ length: 5 }, () => 'authn_login_fail'), 'authn_login_lock'])
  t.equal(await counted('latchkey_lockouts_total'), locks + 1)
  clock.advance(60_000)
  await tryLogin(app, 'bob', 'wrong password', from)
  t.strictSame(events().map(({ event, user_id: user }) => ({ event, user })), ['authn_login_fail', 'authn_login_lock'].map((event) => ({ event, user: id })))
  t.equal(await counted('latchkey_logins_total', '{outcome="too_many_attempts"}'), 5)
  t.equal(await counted('latchkey_logins_total', '{outcome="invalid_credentials"}'), 8)
  t.equal(await counted('latchkey_logins_total', '{outcome="logged_in"}'), 2)
})

t.test('POST /refresh → each case of the table is counted; what is out of the ordinary is recorded', async (t) => {
  const { id } = await register(app, 'carol')
  const pair = await login(app, 'carol')
  const [sid, refreshed] = [decode(pair.access_token).payload['sid'], 'latchkey_refreshes_total']
  const recorded = (...names: string[]) => names.map((event) => ({ event, user_id: id, session_id: sid }))
  const fresh = () => events().map(({ ip, ...event }) => event)
  fresh()
  await refresh(app, pair.refresh_token)
  await refresh(app, pair.refresh_token)
  t.same(fresh(), [], 'an ordinary rotation and a retry')
  await app.inject({ method: 'POST', url: '/refresh', payload: { refresh_token: pair.refresh_token }, remoteAddress: newAddress() })
  t.same(fresh(), recorded('session_replayed_elsewhere'))
  clock.advance(10_001)
  const recovered = (await refresh(app, pair.refresh_token)).json()
  t.same(fresh(), recorded('session_recovered'))
  const newest = (await refresh(app, recovered.refresh_token)).json()
  sql(path, 'UPDATE sessions SET generation = 1, first = 1, previous = NULL WHERE id = ?', sid)
  t.equal((await refresh(app, newest.refresh_token)).statusCode, 200)
  t.same(fresh(), recorded('session_fast_forward'))
  t.equal((await refresh(app, pair.refresh_token)).statusCode, 401)
  t.same(fresh(), recorded('authn_token_reuse'))
  t.equal((await refresh(app, newest.refresh_token)).statusCode, 401)
  await refresh(app, 'garbage')
  t.same(fresh(), [])
  const counts = await Promise.all(['rotate', 'replay', 'recover', 'fast_forward', 'reuse', 'ended', 'unreadable'].map(async (step) => [step, await counted(refreshed, `{step="${step}"}`)]))
  t.strictSame(Object.fromEntries(counts), { rotate: 2, replay: 2, recover: 1, fast_forward: 1, reuse: 1, ended: 1, unreadable: 1 })
})

t.test('POST /logout → 204, recorded when it ended something, and only then', async (t) => {
  const { id } = await register(app, 'dora')
  const pair = await login(app, 'dora')
  events()
  clock.advance(1)
  for (const token of [pair.refresh_token, pair.refresh_token, 'garbage', pair.access_token]) t.equal((await post(app, '/logout', { refresh_token: token })).statusCode, 204)
  t.same(events(), [{ event: 'session_logout', user_id: id, session_id: decode(pair.access_token).payload['sid'], ip: '127.0.0.1' }])
})

t.test('a new hash that cannot be kept is warned of, once', async (t) => {
  const costly = await build(t, { path, now: clock.now, env: { LATCHKEY_BCRYPT_COST: '5' } })
  const warnings = t.capture(costly.log, 'warn')
  t.intercept(costly.db.store, 'upgradeHash', { value: async () => { throw new Error('no disk') } })
  await login(costly, 'dora')
  const found: unknown[] = []
  await eventually(async () => found.push(...warnings()) > 0)
  t.match(found, [{ args: [{ err: { message: 'no disk' } }, 'a password hash could not be upgraded'] }])
  t.equal(costly.passwords.places(), 0, 'its place in the queue is free again')
})
