import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { eventually } from './fixtures/accounts.ts'
import { folder, PASSWORD } from './fixtures/app.ts'
import { commandLine } from './fixtures/commands.ts'
import { type Client, createClient } from './fixtures/crash-client.ts'
import { decode } from './fixtures/forge.ts'
import { ask } from './fixtures/process.ts'
import { type Replica, startReplicas } from './fixtures/replicas.ts'
import { fastForwards, select } from './fixtures/refresh.ts'
import { times } from './fixtures/sockets.ts'

/** An unknown key makes a replica look for new ones, but not more often (ms). */
const KEYS_LOOKED_FOR_EVERY = 5_000

const path = folder(t)
// Both were asked for.
const [one, other] = await startReplicas(t, 2, path) as [Replica, Replica]

interface Tokens {
  access: string
  refresh: string
}

async function login (username: string, replica = one): Promise<Tokens> {
  const { status, body } = await replica.post('/login', { username, password: PASSWORD })
  if (status !== 200) throw new Error(`login: ${status}`)
  return { access: String(body.access_token), refresh: String(body.refresh_token) }
}

async function newUser (username: string): Promise<Tokens> {
  await one.post('/register', { username, password: PASSWORD })
  return await login(username)
}

/** Each ends `victim`'s session at a replica; `actor` is another session of the same user, which is to have proven who it is. */
const endings: Record<string, (replica: Replica, victim: Tokens, actor: Tokens) => Promise<number>> = {
  'POST /logout': async ({ post }, victim) => (await post('/logout', { refresh_token: victim.refresh })).status,
  'DELETE /sessions/{id}': async ({ url }, victim, actor) => (await ask(`${url}/sessions/${decode(victim.refresh).payload['sid']}`,
    { method: 'DELETE', headers: { authorization: `Bearer ${actor.access}` } })).status,
  'POST /logout/all': async ({ url }, victim) =>
    (await ask(`${url}/logout/all`, { method: 'POST', headers: { authorization: `Bearer ${victim.access}` } })).status,
  'POST /password': async ({ post }, _victim, actor) =>
    (await post('/password', { current_password: PASSWORD, new_password: `${PASSWORD}, a new one` }, actor.access)).status
}

for (const [index, [name, end]] of Object.entries(endings).entries()) {
  t.test(`${name} at one replica, while the other refreshes the session → 204, and the other refuses all its tokens at once: 401`, async (t) => {
    const victim = await newUser(`ended-${index}`)
    const actor = await login(`ended-${index}`, other)
    const race = await raceOfRefreshes(other, victim.refresh)
    t.equal(await end(one, victim, actor), 204)
    await refusesAll(t, [victim], 'what was there before')
    const { given, refused } = await race()
    await refusesAll(t, given, 'what the race gave')
    t.strictSame(refused, [401], 'who came too late was refused, and nothing else')
  })
}

/** Refreshes until it is refused; has done so once when it resolves. The function returned tells what came of it. */
async function raceOfRefreshes (replica: Replica, token: string) {
  const given: Tokens[] = []
  async function run () {
    for (let refresh = token; ;) {
      const { status, body } = await replica.post('/refresh', { refresh_token: refresh })
      if (status !== 200) return status
      refresh = String(body.refresh_token)
      given.push({ access: String(body.access_token), refresh })
    }
  }
  const running = run()
  await eventually(async () => given.length > 0)
  return async () => ({ given, refused: [await running] })
}

async function refusesAll (t: Test, tokens: Tokens[], about: string) {
  const answers = await Promise.all(tokens.map(async ({ access, refresh }) =>
    [await other.private(access), (await other.post('/refresh', { refresh_token: refresh })).status]))
  t.strictSame(new Set(answers.flat()), new Set([401]), about)
}

t.test('POST /login with wrong passwords at two replicas in turn → their failures count together: 429 at both, with one end', async (t) => {
  await newUser('guessed')
  const guess = ({ post }: Replica, password = 'a wrong password') => post('/login', { username: 'guessed', password })
  for (let i = 0; i < 5; i++) t.equal((await guess(i % 2 === 0 ? one : other)).status, 401)
  for (const replica of [one, other]) {
    const { status, body, retryAfter } = await guess(replica, PASSWORD)
    t.match({ status, code: body.code }, { status: 429, code: 'too_many_attempts' })
    t.ok(Number(retryAfter) > 50 && Number(retryAfter) <= 60)
  }
})

t.test('latchkey keys rotate --now → tokens of the new key, which a replica that starts gives, are good at those that do not know it yet: 200', async (t) => {
  await newUser('rotated')
  const [line = ''] = await commandLine(path)('keys', 'rotate', '--now')
  const rotated = performance.now()
  const [newest] = await startReplicas(t, 1, path)
  const { access } = await login('rotated', newest)
  t.match(line, String(decode(access).header['kid']))
  await delay(Math.max(0, KEYS_LOOKED_FOR_EVERY - (performance.now() - rotated)))
  t.strictSame(await Promise.all([one.private(access), other.private(access)]), [200, 200])
  t.equal(decode((await login('rotated')).access).header['kid'], decode(access).header['kid'], 'and they sign with it themselves')
  await newest?.stop('SIGTERM')
})

t.test('kill -9 of one replica under load, and again → nothing acknowledged is lost, and every client goes on at the other', async (t) => {
  const own = folder(t)
  const replicas = await startReplicas(t, 2, own)
  const clients = times(8, createClient)
  const load = new AbortController()
  t.teardown(() => load.abort())
  const lost = { answers: 0, twice: 0 }

  /** Goes to the next replica when one does not answer. */
  async function run ({ step, retire }: Client, index: number) {
    let at = index % 2
    const url = () => replicas[at]?.url ?? ''
    for (let failed = false; !load.signal.aborted;) {
      const answered = await step(url(), Math.random())
      if (!answered) {
        lost.answers += 1
        lost.twice += failed ? 1 : 0
        at = 1 - at
      }
      failed = !answered
    }
    await retire(url())
  }

  const over = Promise.all(clients.map(run))
  // What fails is told below, where they are waited for.
  over.catch(() => {})
  for (const killed of [0, 1]) {
    await delay(200 + Math.random() * 100)
    await replicas[killed]?.stop('SIGKILL')
    await delay(100)
    replicas.splice(killed, 1, ...await startReplicas(t, 1, own))
  }
  await delay(100)
  load.abort()
  await over
  t.same(clients.flatMap(({ problems }) => problems), [])
  t.strictSame(fastForwards(own), [], 'no rotation is lost: a token newer than its row would be let in, too')
  t.ok(lost.answers > 0, 'answers were lost')
  t.equal(lost.twice, 0, 'nobody is turned away by both')
  const total = (name: keyof Client['counts']) => clients.reduce((sum, { counts }) => sum + counts[name], 0)
  t.ok(total('registered') > clients.length, 'there were registrations all along')
  t.ok(total('refreshed') > 100, 'there was load')
  t.ok(total('loggedOut') > 0 && total('changed') > 0)
})

t.test('ten replicas that start at once on an empty database → all answer, it is migrated once, and there is one signing key', async (t) => {
  const own = folder(t)
  const replicas = await startReplicas(t, 10, own)
  const kids = await Promise.all(replicas.map(async ({ url }) => {
    t.equal((await ask(`${url}/readyz`)).status, 200)
    // A JWK Set.
    const { keys } = await (await ask(`${url}/.well-known/jwks.json`)).json() as { keys: { kid: string }[] }
    return keys.map(({ kid }) => kid)
  }))
  t.equal(kids.flat().length, 10)
  t.equal(new Set(kids.flat()).size, 1)
  t.strictSame(select(own, 'SELECT count(*) AS rows, count(DISTINCT hash) AS migrations FROM __drizzle_migrations').map(({ rows, migrations }) => rows === migrations), [true])
  t.strictSame(select(own, 'SELECT count(*) AS keys FROM signing_keys'), [{ keys: 1 }])
  for (const { pid } of replicas) process.kill(pid, 'SIGKILL')
})
