import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { every } from '../src/periodic.ts'
import { eventually } from './fixtures/accounts.ts'
import { startScript } from './fixtures/process.ts'

const never = (t: Test) => (error: unknown) => { t.fail(String(error)) }

t.test('a job is run again and again, one run at a time', async (t) => {
  let [running, most, runs] = [0, 0, 0]
  const stop = every(1, async () => {
    running += 1
    most = Math.max(most, running)
    await delay(10)
    running -= 1
    runs += 1
  }, never(t))
  await eventually(async () => runs >= 3)
  await stop()
  t.equal(most, 1)
})

t.test('a run that fails is told, and the next one comes', async (t) => {
  const told: unknown[] = []
  let runs = 0
  const stop = every(1, async () => { throw new Error(`run ${++runs}`) }, (error) => told.push(error))
  await eventually(async () => told.length >= 2)
  await stop()
  t.match(told.slice(0, 2), [{ message: 'run 1' }, { message: 'run 2' }])
})

t.test('stopping waits for the run under way, and there is none after it', async (t) => {
  let [begun, ended] = [0, 0]
  const stop = every(1, async () => {
    begun += 1
    await delay(20)
    ended += 1
  }, never(t))
  await eventually(async () => begun > 0)
  await stop()
  t.equal(ended, begun)
  const runs = begun
  await delay(20)
  t.equal(begun, runs)
})

t.test('stopping before the first run → no run', async (t) => {
  let runs = 0
  await every(1, async () => { runs += 1 }, never(t))()
  await delay(10)
  t.equal(runs, 0)
})

t.test('a process ends though a job is waiting', async (t) => {
  const script = startScript(t, `
    const { every } = await import('./dist/src/periodic.js')
    every(3_600_000, async () => {}, () => {})
    console.log('waiting')`)
  t.equal(await script.line(), 'waiting')
  await t.rejects(script.line(), { message: 'the script has ended' })
})
