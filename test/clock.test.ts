import t, { type Test } from 'tap'
import { createClock } from '../src/clock.ts'

const START = Date.UTC(2026, 0, 1)

/** A local clock and that of a server, `ahead` of it, which is asked over ways that take these times (ms). */
function clocks (t: Test, { ahead, ways }: { ahead: number, ways: { there: number, back: number }[] }) {
  let passed = 0
  t.intercept(performance, 'now', { value: () => passed })
  const left = [...ways]
  const local = () => START + passed
  const serverTime = async () => {
    const { there, back } = left.shift() ?? { there: 0, back: 0 }
    passed += there
    const time = local() + ahead
    passed += back
    return time
  }
  return { local, serverTime, left, pass: (ms: number) => { passed += ms } }
}

t.test('without a server to agree with, it is the local clock, in whole milliseconds', async (t) => {
  let time = START
  const { now, adjust } = createClock(() => time + 0.4, undefined)
  await adjust()
  t.equal(now(), START)
  time += 0.2
  t.equal(now(), START + 1)
})

t.test('it is the server\'s clock once it is adjusted, and goes on with the local one; half of the way is taken off', async (t) => {
  for (const ahead of [300_000, -300_000, 0.4]) {
    const { local, serverTime, pass } = clocks(t, { ahead, ways: [{ there: 10, back: 10 }, { there: 10, back: 10 }, { there: 10, back: 10 }] })
    const { now, adjust } = createClock(local, serverTime)
    t.equal(now(), START)
    await adjust()
    t.equal(now(), Math.round(local() + ahead))
    pass(1_000)
    t.equal(now(), Math.round(local() + ahead))
  }
})

t.test('of three looks the one with the shortest way counts, wherever it comes', async (t) => {
  const slow = { there: 90, back: 10 }
  const quick = { there: 2, back: 0 }
  for (const ways of [[quick, slow, slow], [slow, quick, slow], [slow, slow, quick]]) {
    const { local, serverTime, left } = clocks(t, { ahead: 5_000, ways: [...ways, slow] })
    const { now, adjust } = createClock(local, serverTime)
    await adjust()
    t.equal(now(), local() + 5_000 + 1, 'wrong by half of what the ways differ in')
    t.equal(left.length, 1, 'three looks')
  }
})

t.test('it is adjusted anew, whatever it was before; when the server does not answer it keeps what it had', async (t) => {
  let drift = 7_000
  let fails = false
  const { now, adjust } = createClock(() => START, async () => {
    if (fails) throw new Error('gone')
    return START + drift
  })
  // The way takes microseconds, which round to nothing.
  await adjust()
  t.equal(now(), START + 7_000)
  drift = -2_000
  await adjust()
  t.equal(now(), START - 2_000)
  fails = true
  await t.rejects(adjust(), { message: 'gone' })
  t.equal(now(), START - 2_000)
})
