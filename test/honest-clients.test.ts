import fc from 'fast-check'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import type { Step } from '../src/refresh-table.ts'
import { bearer, build, fakeClock, folder, getPrivate, login, PASSWORD, post, refresh, register } from './fixtures/app.ts'
import { decode } from './fixtures/forge.ts'
import { createClient, GRACE, type Move, moves } from './fixtures/honest-client.ts'
import { createModel } from './fixtures/refresh-model.ts'

const windows = { refreshGrace: GRACE, refreshRecovery: 86_400_000 }
const jar = fc.constantFrom('newest' as const, 'last' as const)

type Clock = ReturnType<typeof fakeClock>

/** One session, whether in memory or behind HTTP. */
interface Service {
  refresh: (token: string) => Promise<string | undefined>
  live: () => Promise<boolean>
}

/** One for all stories over HTTP, which together take years. */
const clock = fakeClock()
const options = { path: folder(t), now: clock.now, env: { LATCHKEY_SESSION_MAX: '3650d' } }
let app = await build(t, options)
let users = 0

async function newUser () {
  const username = `user-${users++}`
  const { id } = await register(app, username)
  return { username, id, pair: await login(app, username) }
}

async function overHttp (token: string): Promise<string | undefined> {
  const response = await refresh(app, token)
  if (response.statusCode !== 200 && response.statusCode !== 401) throw new Error(response.body)
  return response.statusCode === 200 ? response.json().refresh_token : undefined
}

const liveOf = (id: string) => async () => (await app.db.store.listLiveSessions(id, clock.now())).length === 1
const generationOf = (token: string) => Number(decode(token).payload['gen'])

async function restart () {
  await app.close()
  app = await build(t, options)
}

/** Lets an honest client live through `story`; resolves with how often it was refused. */
async function tell (story: Move[], options: Omit<Parameters<typeof createClient>[0], 'jar'> & { jar: 'newest' | 'last' }): Promise<number> {
  const client = createClient(options)
  for (const move of story) await client.play(move)
  await client.refreshNow()
  await client.drain()
  await client.refreshNow()
  return client.refused()
}

interface Turn {
  who: 'client' | 'thief'
  wait: number
  answered: boolean
}

const turn: fc.Arbitrary<Turn> = fc.record({
  who: fc.constantFrom('client', 'thief'),
  wait: fc.oneof(fc.nat(GRACE), fc.integer({ min: GRACE + 1, max: 1_200_000 })),
  answered: fc.boolean().map((lost) => !lost)
})
/** Enough to bring out any thief, whatever the turns before have been. */
const showdown: Turn[] = (['client', 'thief', 'client', 'thief'] as const).map((who) => ({ who, wait: GRACE + 1, answered: true }))

/**
 * A thief takes one of the tokens of a client that lives on, and both refresh in `turns`.
 * Two that ask for the same token within the grace get the same answer and cannot be told apart; from there the count begins anew.
 * @returns how the thief fared: whether he ever got a token, and whether both refreshed twice without his being caught.
 */
async function steal (service: Service, clock: Clock, { issued, stolen, turns }: { issued: string[], stolen: string, turns: Turn[] }) {
  const known = new Set(issued)
  const jars = { client: issued.at(-1) ?? '', thief: stolen }
  const refreshed = { client: 0, thief: 0 }
  const take = async ({ who, wait, answered }: Turn) => {
    clock.advance(wait)
    const token = await service.refresh(jars[who])
    if (token === undefined || !answered) return token
    if (known.has(token)) Object.assign(refreshed, { client: 0, thief: 0 })
    else refreshed[who] += 1
    known.add(token)
    jars[who] = token
    return token
  }

  const gain = await take({ who: 'thief', wait: 0, answered: true })
  Object.assign(refreshed, { client: 0, thief: 0 })
  const worst = () => refreshed.client >= 2 && refreshed.thief >= 2
  for (const next of [...turns, ...showdown]) {
    if (!await service.live()) return { gained: gain !== undefined, escaped: false }
    if (worst()) return { gained: true, escaped: true }
    await take(next)
  }
  return { gained: gain !== undefined, escaped: await service.live() }
}

/** Two holders of tokens refresh in turn, twice each. @returns how often one got a token. */
async function takeTurns ({ refresh }: Pick<Service, 'refresh'>, clock: Clock, holders: [string, string]): Promise<number> {
  let given = 0
  for (const who of [0, 1, 0, 1] as const) {
    clock.advance(GRACE + 1)
    const answer = await refresh(holders[who])
    holders[who] = answer ?? ''
    given += answer === undefined ? 0 : 1
  }
  return given
}

/** Tokens presented at will: by their place from the newest, and how long after the last. */
const presented = fc.record({ pick: fc.nat(2), wait: fc.oneof(fc.nat(2 * GRACE), fc.nat(90_000_000)) })

/** @returns the tokens that came of it, the newest last. */
async function presentAll ({ refresh }: Pick<Service, 'refresh'>, clock: Clock, { first, uses }: { first: string, uses: { pick: number, wait: number }[] }): Promise<string[]> {
  const issued = [first]
  for (const { pick, wait } of uses) {
    clock.advance(wait)
    const answer = await refresh(issued.at(-1 - pick % issued.length) ?? '')
    if (answer !== undefined) issued.push(answer)
  }
  return [...new Set(issued)]
}

/** Each property of the rules lets the event loop turn: a service whose loop stands still for a second refuses work. */

t.test('the rules: an honest client is never logged out, whatever is lost, late or restored', async (t) => {
  const met = new Set<Step>()
  await fc.assert(fc.asyncProperty(moves({ happenings: 1 }), jar, async (story, jar) => {
    await setImmediate()
    const clock = fakeClock()
    const { refresh, restore, steps } = createModel(clock, windows)
    const refused = await tell(story, { token: '1', generationOf: Number, refresh, happen: async (pick) => restore(pick), clock, jar })
    for (const step of steps) met.add(step)
    return refused === 0
  }), { numRuns: 1_000 })
  t.strictSame([...met].sort(), ['fast_forward', 'recover', 'replay', 'rotate'])
})

t.test('the rules: a thief is caught at the second next refresh of the client or his own', async (t) => {
  let gained = 0
  await fc.assert(fc.asyncProperty(moves({ most: 8 }), fc.nat(), fc.array(turn, { maxLength: 8 }), async (story, pick, turns) => {
    await setImmediate()
    const clock = fakeClock()
    const model = createModel(clock, windows)
    const client = createClient({ token: '1', generationOf: Number, refresh: model.refresh, clock, jar: 'newest' })
    for (const move of story) await client.play(move)
    await client.drain()
    await client.refreshNow()
    const { issued } = client
    const theft = await steal(model, clock, { issued, stolen: issued[pick % issued.length] ?? '', turns })
    gained += theft.gained ? 1 : 0
    return !theft.escaped
  }), { numRuns: 1_000 })
  t.ok(gained > 100, `${gained} thieves got a token first`)
})

t.test('the rules: whoever presents what and when, two holders of tokens cannot both go on', async (t) => {
  let both = 0
  await fc.assert(fc.asyncProperty(fc.array(presented, { maxLength: 12 }), async (uses) => {
    await setImmediate()
    const clock = fakeClock()
    const model = createModel(clock, windows)
    const tokens = (await presentAll(model, clock, { first: '1', uses })).slice(-5)
    for (const one of tokens) {
      for (const other of tokens) {
        const time = fakeClock(clock.now())
        const fork = model.fork(time)
        if (await takeTurns(fork, time, [one, other]) === 3) both += 1
        if (await fork.live()) return false
      }
    }
    return true
  }), { numRuns: 500 })
  t.ok(both > 100, `${both} pairs of which each got a token first`)
})

t.test('the rules: a session that has ended stays so for every token, in the grace and after it', async () => {
  await fc.assert(fc.asyncProperty(moves({ most: 8 }), fc.boolean(), fc.nat(2 * GRACE), async (story, revoked, later) => {
    await setImmediate()
    const clock = fakeClock()
    const model = createModel(clock, windows)
    const client = createClient({ token: '1', generationOf: Number, refresh: model.refresh, clock, jar: 'newest' })
    for (const move of story) await client.play(move)
    if (revoked) model.end()
    else model.disallow()
    clock.advance(later)
    const answers = await Promise.all([...client.issued, '1000'].map((token) => model.refresh(token)))
    return answers.every((answer) => answer === undefined)
  }), { numRuns: 300 })
})

t.test('POST /refresh by an honest client on a bad line → always 200', async () => {
  await fc.assert(fc.asyncProperty(moves({ most: 15 }), jar, async (story, jar) => {
    const { pair } = await newUser()
    return await tell(story, { token: pair.refresh_token, generationOf, refresh: overHttp, clock, jar }) === 0
  }), { numRuns: 10 })
})

t.test('POST /refresh by honest clients of a service that restarts now and then → always 200', async () => {
  const around = fc.tuple(moves({ most: 4 }), moves({ most: 4 })).map(([before, after]): Move[] => [...before, { type: 'happening', pick: 0 }, ...after])
  await fc.assert(fc.asyncProperty(around, jar, async (story, jar) => {
    const { pair } = await newUser()
    return await tell(story, { token: pair.refresh_token, generationOf, refresh: overHttp, happen: restart, clock, jar }) === 0
  }), { numRuns: 3 })
})

t.test('POST /refresh by a thief → 401 and the session is over, at the second next refresh of the client or his own', async (t) => {
  let gained = 0
  await fc.assert(fc.asyncProperty(moves({ most: 4 }), fc.nat(), fc.array(turn, { maxLength: 4 }), async (story, pick, turns) => {
    const { pair, id } = await newUser()
    const client = createClient({ token: pair.refresh_token, generationOf, refresh: overHttp, clock, jar: 'newest' })
    for (const move of story) await client.play(move)
    await client.drain()
    await client.refreshNow()
    const { issued } = client
    const theft = await steal({ refresh: overHttp, live: liveOf(id) }, clock, { issued, stolen: issued[pick % issued.length] ?? '', turns })
    gained += theft.gained ? 1 : 0
    return !theft.escaped
    // The first two take the newest token and the one before it, and so get another whatever chance brings.
  }), { numRuns: 10, examples: [[[], 1, []], [[], 0, []]] })
  t.ok(gained >= 2, `${gained} thieves got a token first`)
})

t.test('POST /refresh by two holders of whatever tokens of a session → they cannot both go on: 401 at the second turn of each, and it is over', async (t) => {
  let both = 0
  await fc.assert(fc.asyncProperty(fc.array(presented, { maxLength: 5 }), fc.nat(), fc.nat(), async (uses, one, other) => {
    const { pair, id } = await newUser()
    const service = { refresh: overHttp }
    const tokens = await presentAll(service, clock, { first: pair.refresh_token, uses })
    const pick = (n: number) => tokens.at(-1 - n % Math.min(5, tokens.length)) ?? ''
    if (await takeTurns(service, clock, [pick(one), pick(other)]) === 3) both += 1
    return !await liveOf(id)()
    // The first two hold one and the same token, whose answer the second of them recovers.
  }), { numRuns: 12, examples: [[[], 0, 0], [[{ pick: 0, wait: 0 }], 0, 0]] })
  t.ok(both >= 2, `${both} pairs of which each got a token first`)
})

/** Each ends the session of `pair`. */
const endings: Record<string, (session: Awaited<ReturnType<typeof newUser>> & { issued: string[] }) => Promise<unknown>> = {
  logout: ({ pair }) => post(app, '/logout', { refresh_token: pair.refresh_token }),
  'logout by the newest token': ({ issued }) => post(app, '/logout', { refresh_token: issued.at(-1) }),
  disable: ({ id }) => app.db.store.disableUser(id, clock.now()),
  'password change': async ({ username }) => {
    const { access_token: token } = await login(app, username)
    await post(app, '/password', { current_password: PASSWORD, new_password: 'an entirely new password' }, bearer(token))
  },
  'logout/all': async ({ username }) => post(app, '/logout/all', {}, bearer((await login(app, username)).access_token)),
  'DELETE /sessions/{id}': async ({ username, pair }) => {
    const { access_token: token } = await login(app, username)
    await app.inject({ method: 'DELETE', url: `/sessions/${decode(pair.access_token).payload['sid']}`, headers: bearer(token) })
  }
}

for (const [name, end] of Object.entries(endings)) {
  t.test(`POST /refresh after ${name} → 401 for every token there ever was, in the grace and after it`, async () => {
    await fc.assert(fc.asyncProperty(moves({ most: 6 }), fc.nat(2 * GRACE), async (story, later) => {
      const user = await newUser()
      const client = createClient({ token: user.pair.refresh_token, generationOf, refresh: overHttp, clock, jar: 'newest' })
      for (const move of story) await client.play(move)
      await client.refreshNow()
      const issued = [...new Set(client.issued)]
      const { access_token: access } = (await refresh(app, issued.at(-1) ?? '')).json()
      const before = (await getPrivate(app, access)).statusCode
      await end({ ...user, issued })
      const at = async () => (await Promise.all(issued.map(overHttp))).every((answer) => answer === undefined)
      const atOnce = await at() && (await getPrivate(app, access)).statusCode === 401
      clock.advance(later)
      return before === 200 && atOnce && await at()
    }), { numRuns: 3 })
  })
}
