import type { FastifyInstance } from 'fastify'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { bearer, build, folder, getPrivate, login, PASSWORD, post, refresh, register, registerAndLogin } from '../fixtures/app.ts'
import { isProblem, longestPause, select, tokensAnswer } from '../fixtures/accounts.ts'
import { holdLock } from '../fixtures/process.ts'

const path = folder(t)
const app = await build(t, { path })
await app.listen({ port: 0 })
const hold = (t: Test) => holdLock(t, join(path, 'latchkey.db'))

/** Reads over a real connection, again and again, for so long. */
async function readFor (app: FastifyInstance, ms: number, token: string) {
  const statuses = new Set<number>()
  let answers = 0
  for (const end = performance.now() + ms; performance.now() < end; answers += 2) {
    statuses.add((await fetch(`${app.listeningOrigin}/livez`)).status)
    statuses.add((await fetch(`${app.listeningOrigin}/private`, { headers: bearer(token) })).status)
    await delay(20)
  }
  return { statuses: [...statuses], answers }
}

t.test('POST /refresh, /register and more while another process writes for 3 s → 200, 201, 204 when it is done; reads → 200 meanwhile', async (t) => {
  const pairs = []
  for (const name of ['ada', 'bob', 'eve']) pairs.push(await registerAndLogin(app, name))
  const [ada, bob, eve] = pairs
  if (!ada || !bob || !eve) throw new Error('three users')

  const { release } = await hold(t)
  let answered = 0
  const requests = [
    refresh(app, ada.refresh_token),
    refresh(app, bob.refresh_token),
    post(app, '/register', { username: 'new', password: PASSWORD }),
    post(app, '/login', { username: 'ada', password: PASSWORD }),
    post(app, '/logout', { refresh_token: eve.refresh_token })
  ].map(async (request) => {
    const { statusCode } = await request
    answered += 1
    return statusCode
  })

  let reads = { statuses: [0], answers: 0 }
  const pause = await longestPause(async () => { reads = await readFor(app, 3_000, ada.access_token) })
  t.equal(answered, 0, 'no write is answered before it is done')
  t.strictSame(reads.statuses, [200])
  t.ok(reads.answers >= 10, `${reads.answers} reads were answered`)
  t.ok(pause < 1_000, `the event loop stood still for ${Math.round(pause)} ms at most: a busy wait of 50 ms and what else the machine does`)

  await release()
  t.strictSame(await Promise.all(requests), [200, 200, 201, 200, 204])
  t.strictSame(await tokensAnswer(app, eve), { access: 401, refresh: 401 })
  await login(app, 'new')
})

t.test('every write while another process writes for longer than 5 s → 503 unavailable with Retry-After, and nothing of it is done', async (t) => {
  const names = ['one', 'two', 'three', 'four']
  const sessions = []
  for (const name of names) sessions.push(await registerAndLogin(app, name))
  const [refreshing, leaving, changing, ending] = sessions
  if (!refreshing || !leaving || !changing || !ending) throw new Error('four sessions')
  const before = rows()

  const { release } = await hold(t)
  const start = performance.now()
  const answers = await Promise.all([
    refresh(app, refreshing.refresh_token),
    post(app, '/register', { username: 'late', password: PASSWORD }),
    post(app, '/login', { username: 'one', password: PASSWORD }),
    post(app, '/logout', { refresh_token: leaving.refresh_token }),
    post(app, '/logout/all', {}, bearer(ending.access_token)),
    post(app, '/password', { current_password: PASSWORD, new_password: 'another good password' }, bearer(changing.access_token))
  ])
  t.ok(performance.now() - start >= 5_000, 'they wait for 5 s')
  for (const answer of answers) {
    isProblem(t, answer, 'unavailable')
    t.equal(answer.headers['retry-after'], '5')
  }
  t.equal((await getPrivate(app, refreshing.access_token)).statusCode, 200)
  await release()

  t.strictSame(rows(), before, 'not a byte has changed')
  const again = await refresh(app, refreshing.refresh_token)
  t.equal(again.statusCode, 200)
  t.equal((await refresh(app, again.json().refresh_token)).statusCode, 200)
  for (const session of [leaving, changing, ending]) t.strictSame(await tokensAnswer(app, session), { access: 200, refresh: 200 })
  await login(app, 'three')
  await register(app, 'late')
})

function rows () {
  return ['users', 'sessions'].map((table) => select(path, `SELECT * FROM ${table} ORDER BY id`))
}
