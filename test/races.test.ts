import t, { type Test } from 'tap'
import { bearer, build, fakeClock, folder, login, newAddress, PASSWORD, post, refresh, register } from './fixtures/app.ts'
import { tokensAnswer } from './fixtures/accounts.ts'
import { decode } from './fixtures/forge.ts'
import { rowOf } from './fixtures/refresh.ts'
import { type Answer, listen, type Pair, pairsOf, times } from './fixtures/sockets.ts'

const ROUNDS = 4

/** Two applications over the same data, as two processes would have (`two-processes.test.ts` starts some). */
const path = folder(t)
const clock = fakeClock()
const env = { LATCHKEY_HASH_QUEUE: '100', LATCHKEY_TRUST_PROXY: '127.0.0.1' }
const app = await build(t, { path, env, now: clock.now })
const other = await build(t, { path, env, now: clock.now })
const call = await listen(app)
const callOther = await listen(other)
let users = 0

async function newUser () {
  const username = `user-${users++}`
  const { id } = await register(app, username)
  return { username, id }
}

const refreshing = (token: string, by = call) => by('POST', '/refresh', { body: { refresh_token: token } })

/** Every answer has the one same refresh token, and an access token of its own. */
function isOneRotation (t: Test, answers: Answer[], token: string) {
  const pairs = pairsOf(answers)
  t.equal(pairs.length, answers.length, 'every answer is 200')
  const tokens = new Set(pairs.map((pair) => pair.refresh_token))
  t.equal(tokens.size, 1, 'with one refresh token')
  t.notOk(tokens.has(token), 'a new one')
  t.equal(new Set(pairs.map((pair) => pair.access_token)).size, answers.length)
  return [...tokens][0] ?? ''
}

t.test('POST /refresh 50 times at once with one token → 50 × 200 with the same new token, and one rotation', async (t) => {
  const { username } = await newUser()
  let { refresh_token: token } = await login(app, username)
  for (let round = 1; round <= ROUNDS; round++) {
    const next = isOneRotation(t, await Promise.all(times(50, () => refreshing(token))), token)
    t.match(rowOf(path, token), { generation: round + 1, first: round + 1, previous: round })
    token = next
  }
})

t.test('POST /refresh at once to two applications over one database → the same new token, and one rotation', async (t) => {
  const { username } = await newUser()
  let { refresh_token: token } = await login(app, username)
  for (let round = 1; round <= ROUNDS; round++) {
    const next = isOneRotation(t, await Promise.all(times(50, (i) => refreshing(token, i % 2 ? call : callOther))), token)
    t.match(rowOf(path, token), { generation: round + 1, first: round + 1, previous: round })
    token = next
  }
})

t.test('POST /refresh 50 times at once with a token whose answer was lost → 50 × 200 with the same new token, and one sibling', async (t) => {
  const { username } = await newUser()
  const { refresh_token: token } = await login(app, username)
  await refresh(app, token)
  for (let round = 1; round <= ROUNDS; round++) {
    clock.advance(10_001)
    isOneRotation(t, await Promise.all(times(50, (i) => refreshing(token, i % 2 ? call : callOther))), token)
    t.match(rowOf(path, token), { generation: round + 2, first: 2, previous: 1 })
  }
})

t.test('POST /refresh of every sibling at once → at most one carries on, and then the session is over', async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const { username } = await newUser()
    const pair = await login(app, username)
    const siblings = []
    for (let i = 0; i < 5; i++) {
      siblings.push((await refresh(app, pair.refresh_token)).json().refresh_token)
      clock.advance(10_001)
    }
    const answers = await Promise.all(siblings.flatMap((token) => [refreshing(token), refreshing(token, callOther)]))
    t.ok(new Set(pairsOf(answers).map((one) => one.refresh_token)).size <= 1, 'one of them')
    for (const one of [pair, ...pairsOf(answers)]) t.strictSame(await tokensAnswer(app, one), { access: 401, refresh: 401 })
    t.match(rowOf(path, pair.refresh_token), { revoked_reason: 'reuse_detected' })
  }
})

t.test('POST /refresh of an old token racing with the newest → the session is over whichever comes first', async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const { username } = await newUser()
    const old = await login(app, username)
    const used = (await refresh(app, old.refresh_token)).json()
    const newest = (await refresh(app, used.refresh_token)).json()
    const answers = await Promise.all(times(20, (i) => refreshing(i === round * 4 ? old.refresh_token : newest.refresh_token)))
    for (const one of [old, used, newest, ...pairsOf(answers)]) t.strictSame(await tokensAnswer(app, one), { access: 401, refresh: 401 })
  }
})

interface Race {
  username: string
  id: string
  /** The session that is to end, and another of the same user. */
  pair: Pair
  own: Pair
}

interface Ending {
  end: (race: Race) => Promise<Answer | boolean>
  done: number | boolean
  /** Whether the user's other session goes on. */
  spares: boolean
}

const endings: Record<string, Ending> = {
  'POST /logout': { end: ({ pair }) => call('POST', '/logout', { body: { refresh_token: pair.refresh_token } }), done: 204, spares: true },
  'POST /logout/all': { end: ({ own }) => call('POST', '/logout/all', { token: own.access_token }), done: 204, spares: false },
  'DELETE /sessions/{id}': {
    end: ({ own, pair }) => call('DELETE', `/sessions/${decode(pair.access_token).payload['sid']}`, { token: own.access_token }), done: 204, spares: true
  },
  'POST /password': {
    end: ({ own }) => call('POST', '/password', { body: { current_password: PASSWORD, new_password: 'an entirely new password' }, token: own.access_token }),
    done: 204,
    spares: true
  },
  'a user being disabled': { end: ({ id }) => app.db.store.disableUser(id, clock.now()), done: true, spares: false }
}

/** Refreshes as an honest client with five tabs does, until it is refused; `strike` is called while the third step is under way. */
async function refreshOn (token: string, strike: (underWay: Promise<Answer>[]) => void): Promise<Pair[]> {
  const pairs: Pair[] = []
  for (let step = 1, newest: string | undefined = token; newest !== undefined; step++) {
    const sent: string = newest
    const underWay = times(5, (i) => refreshing(sent, i % 2 ? call : callOther))
    if (step === 3) strike(underWay)
    const answers = await Promise.all(underWay)
    const given = pairsOf(answers)
    pairs.push(...given)
    if (answers.some(({ status }) => status !== 200 && status !== 401)) throw new Error(JSON.stringify(answers))
    newest = given.length === answers.length ? given[0]?.refresh_token : undefined
  }
  return pairs
}

for (const [name, { end, done, spares }] of Object.entries(endings)) {
  t.test(`POST /refresh racing with ${name} → 200 or 401, and once that is answered no token of the session lives`, async (t) => {
    for (let round = 0; round < ROUNDS; round++) {
      const { username, id } = await newUser()
      const [pair, own] = [await login(app, username), await login(app, username)]
      const strike = async (underWay: Promise<Answer>[]) => {
        // At once, or when so many of the answers have come.
        for (const answer of underWay.slice(0, round)) await answer
        const ended = await end({ username, id, pair, own })
        t.equal(typeof ended === 'boolean' ? ended : ended.status, done)
        const { status } = await refreshing(pair.refresh_token, callOther)
        t.equal(status, 401, 'a refresh that begins after it')
      }
      let struck: Promise<void> | undefined
      const pairs = await refreshOn(pair.refresh_token, (underWay) => { struck = strike(underWay) })
      await struck
      t.ok(pairs.length >= 10, 'there was a race')
      for (const one of [pair, ...pairs.slice(-6)]) t.strictSame(await tokensAnswer(other, one), { access: 401, refresh: 401 })
      t.strictSame(await tokensAnswer(app, own), spares ? { access: 200, refresh: 200 } : { access: 401, refresh: 401 })
    }
  })
}

t.test('POST /login racing with the user being disabled → 200 or 401, and no session is left', async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const { username, id } = await newUser()
    const attempt = (by = call, name = username) => by('POST', '/login', { body: { username: name, password: PASSWORD }, from: newAddress() })
    const logins = times(8, (i) => attempt(i % 2 ? call : callOther))
    // Each round later: from before the first comparison to after some.
    await Promise.all(times(round, () => attempt(call, 'nobody')))
    t.equal(await app.db.store.disableUser(id, clock.now()), true)
    t.strictSame(await app.db.store.listLiveSessions(id, clock.now()), [])
    const answers = await Promise.all(logins)
    t.strictSame(answers.filter(({ status }) => status !== 200 && status !== 401), [])
    for (const pair of pairsOf(answers)) t.strictSame(await tokensAnswer(app, pair), { access: 401, refresh: 401 })
    t.equal((await attempt()).status, 401)
    t.strictSame(await app.db.store.listLiveSessions(id, clock.now()), [])
  }
})

t.test('POST /logout and DELETE /sessions/{id}, several at once → one end', async (t) => {
  const { username } = await newUser()
  const [pair, own] = [await login(app, username), await login(app, username)]
  const sid = decode(pair.access_token).payload['sid']
  const answers = await Promise.all(times(10, (i) => i % 2
    ? call('POST', '/logout', { body: { refresh_token: pair.refresh_token } })
    : callOther('DELETE', `/sessions/${sid}`, { token: own.access_token })))
  t.strictSame(answers.filter((_, i) => i % 2).map(({ status }) => status), [204, 204, 204, 204, 204])
  t.ok(answers.filter(({ status }, i) => i % 2 === 0 && status === 204).length <= 1)
  t.strictSame(await tokensAnswer(app, pair), { access: 401, refresh: 401 })
  const listed = await app.inject({ url: '/sessions', headers: bearer(own.access_token) })
  t.equal(listed.json().length, 1)
  t.equal((await post(app, '/logout', { refresh_token: own.refresh_token })).statusCode, 204)
})
