import t from 'tap'
import { build, fakeClock, folder, newAddress, PASSWORD, register } from './fixtures/app.ts'
import { eventually } from './fixtures/accounts.ts'
import { MINUTE } from './fixtures/attempts-model.ts'
import { type Answer, listen, times } from './fixtures/sockets.ts'

/** Two processes would each have one of these over the same file. */
const path = folder(t)
const clock = fakeClock()
const env = { LATCHKEY_HASH_QUEUE: '200', LATCHKEY_TRUST_PROXY: '127.0.0.1' }
const app = await build(t, { path, env, now: clock.now })
const other = await build(t, { path, env, now: clock.now })
const callers = [await listen(app), await listen(other)] as const

function attempt (username: string, password: string, from: string, i = 0): Promise<Answer> {
  return callers[i % 2 === 0 ? 0 : 1]('POST', '/login', { body: { username, password }, from })
}

/** How many answers there were of each status. */
function tally (answers: Answer[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

t.test('POST /login 20 times at once with the right password from one address → 20 × 200', async (t) => {
  await register(app, 'ada')
  t.strictSame(tally(await Promise.all(times(20, () => attempt('ada', PASSWORD, '192.0.2.1')))), { 200: 20 })
  t.strictSame(tally(await Promise.all(times(20, (i) => attempt('ada', PASSWORD, '192.0.2.2', i)))), { 200: 20 }, 'and at two processes')
})

t.test('POST /login 200 times at once with guesses from one address → 5 × 401, the others 429; then the right one → 429', async (t) => {
  await register(app, 'bob')
  const guesses = times(200, (i) => attempt('bob', `guess ${i}`, '192.0.2.1', i))
  t.strictSame(tally(await Promise.all(guesses)), { 401: 5, 429: 195 })
  t.equal((await attempt('bob', PASSWORD, '192.0.2.1')).status, 429)
})

t.test('POST /login 200 times at once with guesses from as many addresses → 50 × 401, the others 429; from an address of the account\'s own → 200', async (t) => {
  await register(app, 'carol')
  t.equal((await attempt('carol', PASSWORD, '192.0.2.1')).status, 200)
  const guesses = times(200, (i) => attempt('carol', `guess ${i}`, newAddress(), i))
  const own = await attempt('carol', PASSWORD, '192.0.2.1')
  t.strictSame(tally(await Promise.all(guesses)), { 401: 50, 429: 150 })
  t.equal(own.status, 200)
  t.equal((await attempt('carol', PASSWORD, newAddress())).status, 429)
})

t.test('POST /login with guesses of 40 names at once → each name has its own allowance: 401', async (t) => {
  t.strictSame(tally(await Promise.all(times(160, (i) => attempt(`name-${i % 40}`, 'guess', '192.0.2.1', i)))), { 401: 160 })
})

t.test('POST /login after five that were never judged → it waits, and is answered when they have had a minute → 401', async (t) => {
  const { verify } = app.passwords
  let finish = () => {}
  let begun = 0
  const stuck = new Promise<void>((resolve) => { finish = resolve })
  const broken = t.intercept(app.passwords, 'verify', {
    value: async (...args: Parameters<typeof verify>) => {
      begun += 1
      await stuck
      return await verify(...args)
    }
  })
  const lost = times(5, () => attempt('dora', 'guess', '192.0.2.1'))
  await eventually(async () => begun === 5)
  broken.restore()
  const looked = t.capture(other.db.store, 'findAttempts', other.db.store.findAttempts)
  const waiting = attempt('dora', 'guess', '192.0.2.1', 1)
  const seen: unknown[] = []
  await eventually(async () => seen.push(...looked()) > 0)
  clock.advance(MINUTE)
  t.equal((await waiting).status, 401)
  finish()
  t.strictSame(tally(await Promise.all(lost)), { 401: 5 })
})
