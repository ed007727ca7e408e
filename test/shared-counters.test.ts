import t, { type Test } from 'tap'
import { withFallback } from '../src/shared-counters.ts'
import { times } from './fixtures/sockets.ts'
import { adjustableClocks } from './fixtures/timers.ts'

const PAUSE = 1_000

/** A counter that all share, which can be broken, and a local one. */
function counters (t: Test, fault?: Error) {
  const changes: unknown[] = []
  const state = { fault, asked: 0 }
  const shared = async (name: string) => {
    state.asked += 1
    if (state.fault) throw state.fault
    return `shared ${name}`
  }
  const count = withFallback(shared, async (name: string) => `local ${name}`, (error) => changes.push(error), fault)
  return { state, changes, count, putForward: adjustableClocks(t) }
}

t.test('while the shared counter works, it counts, and nothing is told', async (t) => {
  const { count, changes } = counters(t)
  t.strictSame([await count('a'), await count('b')], ['shared a', 'shared b'])
  t.strictSame(changes, [])
})

t.test('when it fails → the local one counts that request and the next ones, and it is told once, however many fail at once', async (t) => {
  const { count, state, changes } = counters(t)
  state.fault = new Error('gone')
  t.strictSame(await Promise.all(times(5, () => count('a'))), times(5, () => 'local a'))
  t.strictSame(changes, [state.fault])
  const { asked } = state
  t.equal(await count('b'), 'local b')
  t.equal(state.asked, asked, 'not every request tries in vain')
})

t.test('it is tried again after a second, and when it works it counts and that is told once', async (t) => {
  const { count, state, changes, putForward } = counters(t)
  const fault = new Error('gone')
  state.fault = fault
  await count('a')
  putForward(PAUSE)
  t.equal(await count('a'), 'local a', 'it still fails')
  t.strictSame(changes, [fault], 'of which nothing is said')
  state.fault = undefined
  t.equal(await count('a'), 'local a', 'for a second')
  putForward(PAUSE)
  t.strictSame([await count('a'), await count('a')], ['shared a', 'shared a'])
  t.strictSame(changes, [fault, undefined])
  state.fault = fault
  t.equal(await count('a'), 'local a')
  t.strictSame(changes, [fault, undefined, fault], 'the next time it is told again')
})

t.test('what cannot begin is told at once, not with the first request, and once when it does', async (t) => {
  const fault = new Error('never there')
  const { count, state, changes, putForward } = counters(t, fault)
  t.strictSame(changes, [fault])
  t.equal(await count('a'), 'local a')
  t.strictSame(changes, [fault])
  state.fault = undefined
  putForward(PAUSE)
  t.equal(await count('a'), 'shared a')
  t.strictSame(changes, [fault, undefined])
})
