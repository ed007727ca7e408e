import fc from 'fast-check'
import { deepEqual } from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { Sqlite } from '../src/db/better-sqlite3.ts'
import { createAccessTokens } from '../src/access-tokens.ts'
import { type Presented, type State, type Step, stepFor, type Windows } from '../src/refresh-table.ts'
import { createRefreshTokens, type RefreshClaims } from '../src/refresh-tokens.ts'
import { loadSecrets } from '../src/secrets.ts'
import { createSessions } from '../src/sessions.ts'
import { build, folder, settings, START } from './fixtures/app.ts'
import { follow } from './fixtures/refresh-model.ts'

const GRACE = 10_000
const RECOVERY = 86_400_000
const IDLE = 14 * 86_400_000

/** Generation 4 was used last; 5, 6 and 7 have been issued since. */
const session: State = {
  generation: 7,
  previous: 4,
  first: 5,
  rotatedAt: START,
  idleExpiresAt: START + IDLE,
  expiresAt: START + 2 * IDLE,
  revokedAt: null,
  keyId: 'new',
  previousKeyId: 'old',
  allowed: true
}

interface Case extends Partial<Windows> {
  state?: Partial<State>
  keyId?: string
  age?: number
}

function step (generation: number, { state = {}, keyId = 'primary', age = 0, refreshGrace = GRACE, refreshRecovery = RECOVERY }: Case = {}): Step {
  return stepFor({ ...session, ...state }, { generation, keyId }, { now: START + age, primaryKeyId: 'primary', refreshGrace, refreshRecovery })
}

t.test('an unused successor of the token last used rotates, at any age', async (t) => {
  for (const generation of [5, 6, 7]) {
    for (const age of [0, GRACE, RECOVERY + 1, IDLE - 1]) t.equal(step(generation, { age }), 'rotate')
  }
  t.equal(step(1, { state: { generation: 1, first: 1, previous: null } }), 'rotate', 'the first of a new session')
})

t.test('the token last used is answered again to the last millisecond of the grace, then recovered to the last one of the day, then it is reuse', async (t) => {
  t.equal(step(4, { age: 0 }), 'replay')
  t.equal(step(4, { age: GRACE }), 'replay')
  t.equal(step(4, { age: GRACE + 1 }), 'recover')
  t.equal(step(4, { age: RECOVERY }), 'recover')
  t.equal(step(4, { age: RECOVERY + 1 }), 'reuse')
  t.equal(step(4, { age: -1 }), 'replay', 'by a clock that is behind')
})

t.test('a window of 0 is none, not even for the same millisecond', async (t) => {
  t.equal(step(4, { refreshGrace: 0 }), 'recover')
  t.equal(step(4, { refreshGrace: 0, age: RECOVERY }), 'recover')
  t.equal(step(4, { refreshRecovery: 0 }), 'replay')
  t.equal(step(4, { refreshRecovery: 0, age: GRACE + 1 }), 'reuse')
  t.equal(step(4, { refreshGrace: 0, refreshRecovery: 0 }), 'reuse')
  t.equal(step(5, { refreshGrace: 0, refreshRecovery: 0 }), 'rotate')
})

t.test('a token newer than the row is a fast forward, however much newer', async (t) => {
  for (const generation of [8, 9, 1_000_000]) t.equal(step(generation), 'fast_forward')
})

t.test('an older token, and a sibling that lost, are reuse, in the grace too', async (t) => {
  for (const generation of [3, 2, 1, 0, -1]) t.equal(step(generation), 'reuse')
  t.equal(step(4, { state: { previous: 6, first: 8, generation: 8 } }), 'reuse', 'the parent of the token last used')
  t.equal(step(5, { state: { previous: 6, first: 8, generation: 8 } }), 'reuse', 'a sibling older than the one used')
  t.equal(step(7, { state: { previous: 6, first: 8, generation: 8 } }), 'reuse', 'a sibling younger than the one used')
  t.equal(step(0, { state: { generation: 1, first: 1, previous: null } }), 'reuse', 'older than the first')
})

t.test('a session that is over is over for every token', async (t) => {
  for (const generation of [1, 3, 4, 5, 7, 8]) {
    const ended = (state: Partial<State>) => t.equal(step(generation, { state }), 'ended')
    ended({ revokedAt: START - 1 })
    ended({ revokedAt: START + 1 })
    ended({ revokedAt: 0 })
    ended({ allowed: false })
    ended({ allowed: 0 })
    ended({ allowed: null })
    ended({ idleExpiresAt: START })
    ended({ expiresAt: START })
  }
  t.equal(step(7, { state: { idleExpiresAt: START + 1 } }), 'rotate', 'its last idle millisecond')
  t.equal(step(7, { state: { expiresAt: START + 1 } }), 'rotate', 'its last millisecond of all')
})

t.test('a token is good under the secret that the row names, or the primary one', async (t) => {
  for (const keyId of ['primary', 'new']) {
    for (const [generation, expected] of [[7, 'rotate'], [8, 'fast_forward']] as const) t.equal(step(generation, { keyId }), expected)
  }
  for (const keyId of ['primary', 'old']) {
    t.equal(step(4, { keyId }), 'replay')
    t.equal(step(4, { keyId, age: GRACE + 1 }), 'recover')
  }
  for (const generation of [5, 7, 8]) t.equal(step(generation, { keyId: 'old' }), 'ended')
  for (const age of [0, GRACE + 1, RECOVERY + 1]) t.equal(step(4, { keyId: 'new', age }), 'ended')
})

const path = folder(t)
const secret = () => randomBytes(36).toString('base64')
const env = { LATCHKEY_SECRET: secret(), LATCHKEY_SECRET_FALLBACKS: secret() }
const config = settings(path, env)
const [primaryId = '', earlierId = ''] = loadSecrets(config).all.keys()
const droppedId = loadSecrets({ ...config, secret: secret() }).primary.id

interface Row {
  state: State
  token: Presented
  user: 'active' | 'disabled' | 'moved on' | 'kept'
  windows: Windows
  age: number
}

const windows = fc.record({
  refreshGrace: fc.constantFrom(0, 1, GRACE, 300_000),
  refreshRecovery: fc.constantFrom(0, 300_000, RECOVERY)
})
const often = <T>(usual: T[], ...rare: T[]) => fc.oneof({ weight: 10, arbitrary: fc.constantFrom(...usual) }, { weight: 1, arbitrary: fc.constantFrom(...rare) })
const near = (...times: number[]) => fc.oneof(fc.constantFrom(...times.flatMap((time) => [time - 1, time, time + 1])), fc.integer({ min: -1000, max: 2 * RECOVERY }))
const left = often([1, 1000, IDLE], -1, 0)
const configured = fc.constantFrom(primaryId, primaryId, earlierId)

/** Small numbers close together, so that each row of the table is met often. */
const row: fc.Arbitrary<Row> = windows.chain((windows) => fc.record({
  age: near(0, windows.refreshGrace, windows.refreshRecovery),
  user: often<Row['user']>(['active', 'kept'], 'disabled', 'moved on'),
  first: fc.integer({ min: 2, max: 6 }),
  siblings: fc.nat(2),
  used: often<number | null>([1, 2, 3], null),
  apart: fc.oneof(fc.constant(0), fc.integer({ min: -2, max: 6 })),
  idle: left,
  max: left,
  revokedAt: often<number | null>([null], START),
  token: configured,
  keyId: often([primaryId, earlierId], droppedId),
  previousKeyId: often([primaryId, earlierId], droppedId)
}).map(({ age, user, first, siblings, used, apart, idle, max, revokedAt, token, keyId, previousKeyId }) => ({
  windows,
  age,
  user,
  token: { generation: Math.max(1, first - (used ?? 1)) + apart, keyId: token },
  state: {
    generation: first + siblings,
    first,
    previous: used === null ? null : Math.max(1, first - used),
    rotatedAt: START,
    idleExpiresAt: START + age + idle,
    expiresAt: START + age + max,
    revokedAt,
    keyId,
    previousKeyId: used === null ? null : previousKeyId,
    allowed: user === 'active' || user === 'kept'
  }
})))

t.test('the rules and the SQL agree on any row and any token', async (t) => {
  const app = await build(t, { path, env, now: () => START })
  const { store } = app.db
  const jwts = new Map(Object.entries(app.jwt))
  const refreshTokens = createRefreshTokens(jwts, config.publicUrl)
  const accessTokens = createAccessTokens(app.keys, config, { now: () => START, random: Math.random })
  const client = new Sqlite(join(path, 'latchkey.db'))
  t.teardown(() => client.close())
  const addUser = client.prepare('INSERT INTO users VALUES (@id, @id, @id, NULL, NULL, 0, \'\', \'{}\', NULL, @epoch, @kept, @disabled, 0, NULL)')
  const addSession = client.prepare(`INSERT INTO sessions VALUES (@id, @id, 1, @generation, @previous, @first, @rotatedAt, @idleExpiresAt, @expiresAt,
    @keyId, @previousKeyId, @revokedAt, NULL, 0, '127.0.0.1', '')`)
  const addAll = client.transaction((rows: (Row & { id: string })[]) => {
    for (const { id, user, state: { allowed, ...state } } of rows) {
      addUser.run({ id, epoch: user === 'active' || user === 'disabled' ? 1 : 2, kept: user === 'kept' ? id : null, disabled: user === 'disabled' ? START : null })
      addSession.run({ id, ...state })
    }
  })
  const met = new Map<Step, number>()

  async function present ({ id, token: { generation, keyId }, windows, age }: Row & { id: string }) {
    const claims: RefreshClaims = { iss: '', sub: id, sid: id, gen: generation, jti: '', token_type: 'refresh', iat: 0, exp: 1e10 }
    const sessions = createSessions({
      store, accessTokens, refreshTokens, primaryKeyId: primaryId, settings: { ...windows, refreshRotation: true, sessionIdle: IDLE, sessionMax: IDLE }, now: () => START + age
    })
    const answer = await sessions.refresh(jwts.get(keyId)?.sign(claims) ?? '', '127.0.0.1')
    const given = answer.outcome === 'refreshed' ? refreshTokens.verify(answer.tokens.refresh.token, 0) : undefined
    return { step: answer.step, given: given && { generation: given.generation, keyId: given.keyId } }
  }

  async function check (row: Row & { id: string }) {
    const at = { now: START + row.age, idle: IDLE, primaryKeyId: primaryId }
    const step = stepFor(row.state, row.token, { ...row.windows, ...at })
    met.set(step, (met.get(step) ?? 0) + 1)
    const { allowed, ...after } = follow(row.state, step, row.token, at)
    // Recovery and replay leave the row its secret; when that one has been dropped, nothing can be signed.
    const answered = step !== 'ended' && step !== 'reuse' && after.keyId !== droppedId
    deepEqual(await present(row), {
      step: answered || step === 'reuse' ? step : 'ended',
      given: answered ? { generation: after.generation, keyId: after.keyId } : undefined
    })
    const stored = await store.findSession(row.id)
    deepEqual(stored, { ...stored, ...after, revokedReason: step === 'reuse' ? 'reuse_detected' : null })
  }

  await fc.assert(fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 64, size: 'max' }), async (drawn) => {
    const rows = drawn.map((row) => ({ ...row, id: randomUUID() }))
    addAll(rows)
    // Together, so that they share commits.
    await Promise.all(rows.map(check))
  }), { numRuns: 100 })
  for (const step of ['ended', 'rotate', 'replay', 'recover', 'fast_forward', 'reuse'] as const) t.ok((met.get(step) ?? 0) > 40, `${step}: ${met.get(step)}`)
})
