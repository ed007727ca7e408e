import fc from 'fast-check'
import t, { type Test } from 'tap'
import { openDatabase } from '../src/db/open.ts'
import { FREE_AT_ADDRESS, FREE_EVERYWHERE } from '../src/db/login-attempts.ts'
import { type Admission, type Attempt, createLoginAttempts, KNOWN_FOR } from '../src/login-attempts.ts'
import { eventually } from './fixtures/accounts.ts'
import { fakeClock, folder, newAddress } from './fixtures/app.ts'
import { createAttemptsModel, DAY, HOUR, MINUTE } from './fixtures/attempts-model.ts'
import { databaseIn } from './fixtures/database.ts'
import { adjustableClocks } from './fixtures/timers.ts'

const { store, close } = await openDatabase(databaseIn(folder(t)))
t.teardown(close)
const clock = fakeClock()
const dependencies = { store, key: Buffer.alloc(32, 1), now: clock.now }
const attempts = createLoginAttempts(dependencies)

async function admitted (name: string, block: string, by = attempts): Promise<Attempt> {
  const admission = await by.admit(name, block)
  if (admission.outcome === 'refused') throw new Error(`${name} at ${block} has to wait for ${admission.retryAfter} s`)
  return admission.attempt
}

async function fail (name: string, block: string, count = 1) {
  for (let i = 0; i < count; i++) await (await admitted(name, block)).failed()
}

const wait = (admission: Admission) => admission.outcome === 'refused' ? admission.retryAfter : 0

t.test('five failures of a name at an address are free; then each costs a delay, from 1 minute doubling to 15', async (t) => {
  for (let i = 1; i < FREE_AT_ADDRESS; i++) t.equal(await (await admitted('ada', '192.0.2.1')).failed(), false)
  for (const minutes of [1, 2, 4, 8, 15, 15]) {
    t.equal(await (await admitted('ada', '192.0.2.1')).failed(), true, 'one too many')
    t.strictSame(await attempts.admit('ada', '192.0.2.1'), { outcome: 'refused', retryAfter: minutes * 60 })
    clock.advance(minutes * MINUTE - 1)
    t.strictSame(await attempts.admit('ada', '192.0.2.1'), { outcome: 'refused', retryAfter: 1 })
    clock.advance(1)
  }
  await (await admitted('ada', '192.0.2.2')).failed()
  await (await admitted('bob', '192.0.2.1')).failed()
})

t.test('a success forgets the failures at its address; an attempt that was not judged is none', async (t) => {
  await fail('carol', '192.0.2.1', 4)
  await (await admitted('carol', '192.0.2.1')).abandoned()
  const attempt = await admitted('carol', '192.0.2.1')
  t.equal(attempt.failedBefore, true)
  await attempt.succeeded(['carol'])
  const next = await admitted('carol', '192.0.2.1')
  t.equal(next.failedBefore, false)
  await next.abandoned()
  await fail('carol', '192.0.2.1', 5)
  t.equal(wait(await attempts.admit('carol', '192.0.2.1')), 60)
})

t.test('a day after the last failure at an address all of them are forgotten', async (t) => {
  await fail('cleo', '192.0.2.1', 3)
  clock.advance(DAY - 1)
  await fail('cleo', '192.0.2.1')
  clock.advance(DAY - 1)
  const still = await admitted('cleo', '192.0.2.1')
  t.equal(still.failedBefore, true)
  await still.abandoned()
  clock.advance(1)
  const after = await admitted('cleo', '192.0.2.1')
  t.equal(after.failedBefore, false)
  await after.failed()
  await fail('cleo', '192.0.2.1', 4)
  t.equal(wait(await attempts.admit('cleo', '192.0.2.1')), 60)
})

t.test('50 failures of a name an hour, wherever they come from; an address with a login in the last 30 days is not among them', async (t) => {
  await (await admitted('dora', '192.0.2.1')).succeeded(['dora', 'dora@example.org'])
  clock.advance(KNOWN_FOR - 10 * MINUTE)
  await (await admitted('dora', '192.0.2.2')).succeeded(['dora'])
  for (let i = 1; i < FREE_EVERYWHERE; i++) await fail('dora', newAddress())
  t.equal(await (await admitted('dora', newAddress())).failed(), true, 'one too many')
  clock.advance(9 * MINUTE)
  t.equal(wait(await attempts.admit('dora', newAddress())), 51 * 60)

  for (const block of ['192.0.2.1', '192.0.2.2']) t.equal(await (await admitted('dora', block)).failed(), false, 'a known address has its own allowance')
  await (await admitted('dora@example.org', '192.0.2.1')).abandoned()
  clock.advance(MINUTE)
  t.equal(wait(await attempts.admit('dora', '192.0.2.1')), 50 * 60, 'not known any more')
  await (await admitted('dora', '192.0.2.2')).abandoned()
  clock.advance(50 * MINUTE)
  await fail('dora', newAddress())
})

t.test('a refusal everywhere takes no place at the address', async (t) => {
  for (let i = 0; i < FREE_EVERYWHERE; i++) await fail('many', newAddress())
  for (let i = 0; i < 2 * FREE_AT_ADDRESS; i++) t.equal(wait(await attempts.admit('many', '192.0.2.9')), 3600)
  clock.advance(HOUR)
  const at = await Promise.all(Array.from({ length: FREE_AT_ADDRESS }, () => admitted('many', '192.0.2.9')))
  for (const attempt of at) await attempt.abandoned()
})

t.test('every spelling that finds an account is the same name; what no account can be called is a name of its own', async (t) => {
  for (const name of ['eve', 'EVE', 'ｅｖｅ', 'eve', 'Eve']) await fail(name, '192.0.2.1')
  t.equal(wait(await attempts.admit('eve', '192.0.2.1')), 60)
  for (const name of ['e@bücher.example', 'E@BÜCHER.example', 'e@xn--bcher-kva.example', 'e＠bücher。example', 'e@Bücher.Example']) await fail(name, '192.0.2.1')
  t.equal(wait(await attempts.admit('e@xn--bcher-kva.example', '192.0.2.1')), 60)
  await fail('no name', '192.0.2.1', 5)
  t.equal(wait(await attempts.admit('NO name', '192.0.2.1')), 60)
  for (const name of ['\ud800', '\ud801', '\ufffd']) await fail(name, '192.0.2.1', 3)
})

t.test('no name, whatever is in it, is counted where another name is', async (t) => {
  const names = ['fay\u0000192.0.2.1', 'fay","192.0.2.1', 'fay"', '["fay"', 'fay,192.0.2.1', 'fay\\', 'fay\u0001192.0.2.1', 'fay 192.0.2.1']
  for (const name of names) await fail(name, '192.0.2.7', FREE_AT_ADDRESS)
  const judged = await Promise.all(Array.from({ length: FREE_AT_ADDRESS }, () => admitted('fay', '192.0.2.1')))
  t.strictSame(judged.map(({ failedBefore }) => failedBefore), judged.map(() => false))
  for (const attempt of judged) await attempt.abandoned()
})

t.test('of those at once no more are judged than may fail; the others wait for a verdict', async (t) => {
  const first = await Promise.all(Array.from({ length: FREE_AT_ADDRESS }, () => admitted('gail', '192.0.2.1')))
  const waiting = Array.from({ length: 3 }, () => attempts.admit('gail', '192.0.2.1'))
  let settled = 0
  for (const one of waiting) one.finally(() => { settled += 1 })
  await first[0]?.abandoned()
  const next = await Promise.race(waiting)
  t.equal(next.outcome, 'admitted')
  t.equal(settled, 1)
  // Each success lets those that wait come forward; in the end all have been judged.
  if (next.outcome === 'admitted') await next.attempt.succeeded(['gail'])
  for (const attempt of first.slice(1)) await attempt.succeeded(['gail'])
  for (const one of await Promise.all(waiting)) {
    t.equal(one.outcome, 'admitted')
    if (one !== next && one.outcome === 'admitted') await one.attempt.succeeded(['gail'])
  }
})

t.test('those that wait are refused when the verdict before them is one failure too many', async (t) => {
  await fail('hal', '192.0.2.1', FREE_AT_ADDRESS - 1)
  const last = await admitted('hal', '192.0.2.1')
  const waiting = Array.from({ length: 10 }, () => attempts.admit('hal', '192.0.2.1'))
  t.equal(await last.failed(), true)
  t.strictSame((await Promise.all(waiting)).map(wait), waiting.map(() => 60))
})

t.test('a verdict of this process is heard at once: nobody has to look for it', async (t) => {
  const { setTimeout: set } = globalThis
  t.intercept(globalThis, 'setTimeout', { value: (job: () => void, ms?: number) => ms === 250 ? set(() => {}, 0) : set(job, ms) })
  await fail('ian', '192.0.2.1', FREE_AT_ADDRESS - 1)
  for (const verdict of ['abandoned', 'succeeded', 'failed'] as const) {
    const last = await admitted('ian', '192.0.2.1')
    const waiting = Array.from({ length: 3 }, () => attempts.admit('ian', '192.0.2.1'))
    await last[verdict](['ian'])
    const first = await Promise.race(waiting)
    if (first.outcome === 'admitted') await first.attempt.abandoned()
    for (const one of waiting) {
      const admission = await one
      if (admission.outcome === 'admitted' && admission !== first) await admission.attempt.abandoned()
    }
    if (verdict === 'succeeded') await fail('ian', '192.0.2.1', FREE_AT_ADDRESS - 1)
  }
  t.equal(wait(await attempts.admit('ian', '192.0.2.1')), 60)
})

t.test('a verdict given by another process is seen too', async (t) => {
  const elsewhere = createLoginAttempts(dependencies)
  await fail('ida', '192.0.2.1', FREE_AT_ADDRESS - 1)
  const last = await admitted('ida', '192.0.2.1', elsewhere)
  const waiting = attempts.admit('ida', '192.0.2.1')
  await last.succeeded(['ida'])
  t.equal((await waiting).outcome, 'admitted')
})

/** Looks of those that wait, and clocks that can be put forward. */
function patience (t: Test) {
  let looks = 0
  const findAttempts: typeof store.findAttempts = async (...args) => {
    looks += 1
    return await store.findAttempts(...args)
  }
  return {
    attempts: createLoginAttempts({ ...dependencies, store: { ...store, findAttempts } }),
    putForward: adjustableClocks(t),
    looked: async (times = 1) => {
      const before = looks
      await eventually(async () => looks >= before + times)
    }
  }
}

t.test('whoever has waited for 5 s is refused, for a second', async (t) => {
  const { attempts, putForward, looked } = patience(t)
  await fail('jack', '192.0.2.1', FREE_AT_ADDRESS - 1)
  const last = await admitted('jack', '192.0.2.1', attempts)
  const waiting = attempts.admit('jack', '192.0.2.1')
  await looked()
  putForward(5_000)
  t.strictSame(await waiting, { outcome: 'refused', retryAfter: 1 })
  await last.abandoned()
})

t.test('each success gives those that wait as long again', async (t) => {
  const { attempts, putForward, looked } = patience(t)
  const first = await Promise.all(Array.from({ length: FREE_AT_ADDRESS }, () => admitted('jill', '192.0.2.1', attempts)))
  const waiting = [attempts.admit('jill', '192.0.2.1'), attempts.admit('jill', '192.0.2.1')]
  await looked(2)
  putForward(4_000)
  clock.advance(1)
  await first[0]?.succeeded(['jill'])
  await Promise.race(waiting)
  await looked()
  putForward(3_000)
  await looked(2)
  await first[1]?.succeeded(['jill'])
  t.strictSame((await Promise.all(waiting)).map(({ outcome }) => outcome), ['admitted', 'admitted'])
})

t.test('an attempt without a verdict gives its place back after a minute', async (t) => {
  for (let i = 0; i < FREE_AT_ADDRESS; i++) await admitted('kim', '192.0.2.1')
  clock.advance(MINUTE - 1)
  const waiting = attempts.admit('kim', '192.0.2.1')
  clock.advance(1)
  t.equal((await waiting).outcome, 'admitted')
})

t.test('a counter that cannot be read or written → the error, and no place stays taken', async (t) => {
  let fault: Error | undefined
  const faulty = createLoginAttempts({
    ...dependencies,
    store: {
      ...store,
      takeAttempt: async (id, allowance, now) => {
        if (allowance === FREE_EVERYWHERE && fault) throw fault
        return await store.takeAttempt(id, allowance, now)
      }
    }
  })
  fault = new Error('no disk')
  for (let i = 0; i < 2 * FREE_AT_ADDRESS; i++) await t.rejects(faulty.admit('lea', '192.0.2.1'), { message: 'no disk' })
  fault = undefined
  await (await admitted('lea', '192.0.2.1', faulty)).abandoned()

  const unwritten = createLoginAttempts({ ...dependencies, store: { ...store, failAttempt: async () => { throw new Error('no disk') } } })
  await t.rejects((await admitted('lea', '192.0.2.1', unwritten)).failed(), { message: 'no disk' }, 'who failed is not told before it is counted')
})

/** What happens, one after another; an attempt may be judged long after others have begun. */
const begin = fc.record({ kind: fc.constant('begin' as const), name: fc.constantFrom('a', 'b'), block: fc.constantFrom('1', '2', 'new') })
const judge = fc.record({ kind: fc.constant('judge' as const), which: fc.nat(5), verdict: fc.constantFrom('failed' as const, 'failed' as const, 'failed' as const, 'succeeded' as const, 'abandoned' as const) })
const guess = fc.record({ kind: fc.constant('guess' as const), name: fc.constantFrom('a', 'b'), block: fc.constantFrom('1', '2', 'new'), times: fc.constantFrom(1, 1, 4, 4, 5, 5, 49) })
const pass = fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 1_000, 30_000, MINUTE, 2 * MINUTE, 15 * MINUTE, HOUR, DAY - 1, DAY, KNOWN_FOR) })

t.test('whatever happens in whatever order, an attempt is admitted, refused and judged as a model that keeps the whole history says', async (t) => {
  let runs = 0
  await fc.assert(fc.asyncProperty(fc.array(fc.oneof(begin, judge, guess, guess, pass), { maxLength: 30 }), async (steps) => {
    runs += 1
    const model = createAttemptsModel()
    let open: { attempt: Attempt, name: string, block: string, counted: boolean }[] = []

    const start = async (name: string, block: string) => {
      const expected = model.admit(name, block, clock.now())
      if (expected.outcome === 'waits') return
      const admission = await attempts.admit(`${name}${runs}`, `${runs} ${block}`)
      const found = admission.outcome === 'admitted' ? { outcome: 'admitted', failedBefore: admission.attempt.failedBefore } : admission
      const { counted, ...rest } = { counted: false, ...expected }
      if (JSON.stringify(found) !== JSON.stringify(rest)) throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(rest)}`)
      if (admission.outcome === 'admitted') open.push({ attempt: admission.attempt, name, block, counted })
    }
    const settle = async (verdict: 'failed' | 'succeeded' | 'abandoned', which: number) => {
      const [one] = open.splice(which % open.length, 1)
      if (one === undefined) return
      const expected = model.judge(verdict, one, clock.now())
      const found = verdict === 'succeeded' ? await one.attempt.succeeded([`${one.name}${runs}`]) : await one.attempt[verdict]()
      if (found !== expected) throw new Error(`${verdict}: ${found} is not ${expected}`)
    }

    for (const step of steps) {
      if (step.kind === 'pass') {
        clock.advance(step.ms)
        // Their process has been cut off.
        if (step.ms >= MINUTE) open = []
      }
      if (step.kind === 'judge') await settle(step.verdict, step.which)
      if (step.kind === 'begin') await start(step.name, step.block === 'new' ? newAddress() : step.block)
      for (let i = 0; step.kind === 'guess' && i < step.times; i++) {
        const before = open.length
        await start(step.name, step.block === 'new' ? newAddress() : step.block)
        if (open.length > before) await settle('failed', before)
      }
    }
  }), { numRuns: 40 })
  t.ok(runs >= 40)
})
