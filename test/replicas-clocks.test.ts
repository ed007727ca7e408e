import t, { type Test } from 'tap'
import { run } from '../src/commands.ts'
import { build, folder, PASSWORD } from './fixtures/app.ts'
import { decode, stealKey } from './fixtures/forge.ts'
import { dataIn, sql } from './fixtures/database.ts'
import { type Replica, startReplicas } from './fixtures/replicas.ts'
import { terminal } from './fixtures/commands.ts'
import { rowOf, select } from './fixtures/refresh.ts'

const MINUTE = 60_000
const DAY = 86_400_000
/** By which the common clock may differ from that of this test: the database is on the same machine. */
const NEAR = 2_000

/** Node with a clock that is `ahead` (ms). */
const withClock = (ahead: number) => ['--import', `data:text/javascript,${encodeURIComponent(`
  const { now } = Date
  globalThis.Date = class extends Date {
    static now () { return now() + ${ahead} }
    constructor (...given) { super(...(given.length > 0 ? given : [now() + ${ahead}])) }
  }`)}`]

const path = folder(t)
const shifts = [5 * MINUTE, -5 * MINUTE]
// Both were asked for.
const [fast, slow] = await startReplicas(t, 2, path, (i) => ({ env: { LOG_LEVEL: 'info' }, nodeArgs: withClock(shifts[i] ?? 0) })) as [Replica, Replica]
const pairs = [['ahead', fast, slow], ['behind', slow, fast]] as const
let users = 0

async function newUser (replica: Replica) {
  const username = `user-${users++}`
  await replica.post('/register', { username, password: PASSWORD })
  const { body } = await replica.post('/login', { username, password: PASSWORD })
  return { username, access: String(body.access_token), refresh: String(body.refresh_token) }
}

function isNear (t: Test, actual: unknown, expected: number, about: string) {
  t.ok(Math.abs(Number(actual) - expected) <= NEAR, `${about}: ${Number(actual) - expected} ms from what it should be`)
}

t.test('two servers whose clocks differ by ten minutes start, and their logs go by the clocks of their machines', async (t) => {
  const [early, late] = [slow, fast].map(({ printed: { out } }) => Number(JSON.parse(out.split('\n')[0] ?? '').time))
  t.ok(Number(late) - Number(early) > 9 * MINUTE)
})

for (const [name, one, other] of pairs) {
  t.test(`POST /login where the clock is ${name} → 200: tokens and rows have the times of the common clock, and the other replica takes the tokens: 200`, async (t) => {
    const { access, refresh } = await newUser(one)
    const begun = Date.now()
    const [claims, long] = [decode(access).payload, decode(refresh).payload]
    isNear(t, Number(claims['iat']) * 1000, begun, 'iat')
    isNear(t, Number(long['iat']) * 1000, begun, 'iat of the refresh token')
    isNear(t, Number(long['exp']) * 1000, begun + 14 * DAY, 'exp of the refresh token')
    const life = Number(claims['exp']) - Number(claims['iat'])
    t.ok(life > 13 * 60 && life <= 15 * 60)
    const row = rowOf(path, refresh)
    for (const column of ['created_at', 'rotated_at']) isNear(t, row[column], begun, column)
    for (const event of select(path, 'SELECT event, at FROM audit_events WHERE session_id = ?', row['id'])) isNear(t, event['at'], begun, String(event['event']))
    t.strictSame(await Promise.all([one.private(access), other.private(access)]), [200, 200])
  })

  t.test(`POST /refresh by turns, first where the clock is ${name} → 200 each time, and for a retry the same token again`, async (t) => {
    let { refresh } = await newUser(one)
    for (let i = 0; i < 10; i++) {
      const [replica, elsewhere] = i % 2 === 0 ? [one, other] : [other, one]
      const answer = await replica.post('/refresh', { refresh_token: refresh })
      const again = await elsewhere.post('/refresh', { refresh_token: refresh })
      t.strictSame([answer.status, again.status], [200, 200])
      t.equal(again.body.refresh_token, answer.body.refresh_token)
      t.equal(await elsewhere.private(answer.body.access_token), 200)
      refresh = String(answer.body.refresh_token)
    }
  })

  t.test(`POST /refresh where the clock is ${name}, of a token that was used 10 s and 24 h ago → recovery, and reuse: no window is longer or shorter`, async (t) => {
    const { refresh } = await newUser(other)
    const next = await other.post('/refresh', { refresh_token: refresh })
    const { id } = rowOf(path, refresh)
    sql(path, 'UPDATE sessions SET rotated_at = rotated_at - 10000 WHERE id = ?', id)
    const recovered = await one.post('/refresh', { refresh_token: refresh })
    t.match(recovered, { status: 200 })
    t.not(recovered.body.refresh_token, next.body.refresh_token)
    t.strictSame(decode(String(recovered.body.refresh_token)).payload['gen'], 3)

    sql(path, 'UPDATE sessions SET rotated_at = rotated_at - ? WHERE id = ?', DAY - MINUTE, id)
    t.match(await one.post('/refresh', { refresh_token: refresh }), { status: 200 }, 'a minute before the day is over')
    sql(path, 'UPDATE sessions SET rotated_at = rotated_at - ? WHERE id = ?', DAY, id)
    t.match(await one.post('/refresh', { refresh_token: refresh }), { status: 401 })
    t.match(rowOf(path, refresh), { revoked_reason: 'reuse_detected' })
  })

  t.test(`GET /private, POST /refresh where the clock is ${name} → 401 when the session has been over for 3 s, 200 when it has a minute left`, async (t) => {
    const { access, refresh } = await newUser(other)
    const { id } = rowOf(path, refresh)
    sql(path, 'UPDATE sessions SET expires_at = ? WHERE id = ?', Date.now() + MINUTE, id)
    t.equal(await one.private(access), 200)
    sql(path, 'UPDATE sessions SET expires_at = ? WHERE id = ?', Date.now() - 3_000, id)
    t.equal(await one.private(access), 401)
    t.equal((await one.post('/refresh', { refresh_token: refresh })).status, 401)
  })

  t.test(`GET /private where the clock is ${name} → 401 token_expired 3 s after exp, 200 a minute before`, async (t) => {
    const { access } = await newUser(other)
    const forger = await build(t, { path, env: { LATCHKEY_PUBLIC_URL: 'https://auth.example' } })
    const { forge } = await stealKey(forger, path)
    const claims = decode(access).payload
    const seconds = Math.floor(Date.now() / 1000)
    t.equal(await one.private(forge({ ...claims, iat: seconds - 60, exp: seconds + 60 })), 200)
    t.equal(await one.private(forge({ ...claims, iat: seconds - 60, exp: seconds - 3 })), 401)
  })

  t.test(`POST /login after five failures where the clock is ${name} → 429 at the other replica, with Retry-After of a minute`, async (t) => {
    const { username } = await newUser(one)
    for (let i = 0; i < 5; i++) t.equal((await one.post('/login', { username, password: 'a wrong password' })).status, 401)
    const { status, retryAfter } = await other.post('/login', { username, password: PASSWORD })
    t.equal(status, 429)
    t.ok(Number(retryAfter) > 30 && Number(retryAfter) <= 62, `${retryAfter} s`)
  })
}

t.test('latchkey keys rotate --now on a machine whose clock is behind → the key signs from now on by the common clock', async (t) => {
  const { now } = Date
  t.intercept(Date, 'now', { value: () => now() - 5 * MINUTE })
  await run(['keys', 'rotate', '--now'], terminal([], { env: dataIn(path) }))
  const newest = select(path, 'SELECT active_from, created_at FROM signing_keys ORDER BY created_at DESC LIMIT 1')[0]
  for (const column of ['active_from', 'created_at']) isNear(t, newest?.[column], now(), column)
  isNear(t, select(path, "SELECT at FROM audit_events WHERE event = 'signing_key_rotated'")[0]?.['at'], now(), 'the audit event')
})
