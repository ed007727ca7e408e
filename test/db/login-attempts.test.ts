import t from 'tap'
import { openDatabase } from '../../src/db/open.ts'
import { select } from '../fixtures/accounts.ts'
import { folder, START } from '../fixtures/app.ts'
import { DAY, HOUR, MINUTE } from '../fixtures/attempts-model.ts'
import { databaseIn } from '../fixtures/database.ts'

const path = folder(t)
const { store, close } = await openDatabase(databaseIn(path))
t.teardown(close)
const NONE = { blockedUntil: 0, knownUntil: 0, pending: 0 }

const row = (id: string) => select(path, 'SELECT * FROM login_attempts WHERE id = ?', id)[0]

async function failing (id: string, times: number, now = START) {
  for (let i = 0; i < times; i++) {
    await store.takeAttempt(id, 1_000, now)
    await store.failAttempt(id, now)
  }
}

t.test('takeAttempt ten times at once → as many as are allowed', async (t) => {
  const taken = await Promise.all(Array.from({ length: 10 }, () => store.takeAttempt('crowd', 5, START)))
  t.strictSame(taken.flatMap((one) => one?.pending ?? []).sort(), [1, 2, 3, 4, 5])
  t.strictSame(await store.findAttempts('crowd', START), { ...NONE, pending: 5 })
  t.strictSame(await store.findAttempts('nobody', START), NONE)
})

t.test('takeAttempt after a delay → one at a time', async (t) => {
  await failing('slow', 5)
  t.equal(await store.takeAttempt('slow', 5, START + MINUTE - 1), undefined)
  const taken = await Promise.all(Array.from({ length: 3 }, () => store.takeAttempt('slow', 5, START + MINUTE)))
  t.strictSame(taken.flatMap((one) => one?.failures ?? []), [5])
})

t.test('failAttempt says whether a delay begins; failAttemptEverywhere, whether the hour is used up', async (t) => {
  const here = []
  for (let i = 0; i < 6; i++) {
    await store.takeAttempt('here', 1_000, START)
    here.push(await store.failAttempt('here', START))
  }
  t.strictSame(here, [false, false, false, false, true, true])
  t.match(row('here'), { failures: 6, pending: 0, blocked_until: START + 2 * MINUTE, forget_at: START + DAY, expires_at: START + DAY })

  const everywhere = []
  for (let i = 0; i < 51; i++) {
    await store.takeAttempt('everywhere', 1_000, START + i)
    everywhere.push(await store.failAttemptEverywhere('everywhere', START + i))
  }
  t.strictSame(everywhere, Array.from({ length: 51 }, (_, i) => i >= 49))
  t.match(row('everywhere'), { failures: 51, blocked_until: START + HOUR, forget_at: START + HOUR, expires_at: START + 50 + DAY })
  t.strictSame([await store.failAttempt('nobody', START), await store.failAttemptEverywhere('nobody', START)], [false, false])
})

t.test('passAttempt forgets the failures and knows the address; releaseAttempt changes nothing but the place', async (t) => {
  await failing('passing', 4)
  await store.takeAttempt('passing', 5, START + 1)
  const before = row('passing')
  await store.releaseAttempt('passing')
  t.strictSame(row('passing'), { ...before, pending: 0 })
  await store.releaseAttempt('passing')
  t.match(row('passing'), { pending: 0 }, 'no place less than none')
  await store.takeAttempt('passing', 5, START + 2)
  await store.passAttempt('passing', START + 2, START + 30 * DAY)
  t.match(row('passing'), { failures: 0, pending: 0, blocked_until: 0, known_until: START + 30 * DAY, expires_at: START + 30 * DAY })
  await failing('passing', 1, START + 3)
  t.match(row('passing'), { failures: 1, expires_at: START + 30 * DAY }, 'a failure does not shorten its life')
})

t.test('knowAddress makes a row, and changes no failures of one', async (t) => {
  await store.knowAddress('known', START, START + 5)
  t.match(row('known'), { failures: 0, pending: 0, known_until: START + 5, expires_at: START + 5 })
  await failing('known', 3)
  await store.knowAddress('known', START, START + 30 * DAY)
  t.match(row('known'), { failures: 3, known_until: START + 30 * DAY, expires_at: START + 30 * DAY })
})

t.test('purgeAttempts takes what nobody needs, so many at a time, and no row with an attempt under way', async (t) => {
  await store.purgeAttempts(START + 60 * DAY, 1_000)
  for (const id of ['one', 'two', 'three']) await failing(id, 1)
  await failing('busy', 1)
  t.equal(await store.purgeAttempts(START + DAY - 1, 10), 0)
  t.ok(await store.takeAttempt('busy', 5, START + DAY - 1))
  t.strictSame([await store.purgeAttempts(START + DAY, 2), await store.purgeAttempts(START + DAY, 2), await store.purgeAttempts(START + DAY, 2)], [2, 1, 0])
  t.equal(await store.failAttempt('busy', START + DAY), false)
  t.match(row('busy'), { failures: 1, pending: 0, expires_at: START + 2 * DAY })
  t.equal(await store.purgeAttempts(START + 2 * DAY, 10), 1)
})

t.test('takeAttempt does not shorten the life of a row that knows an address', async (t) => {
  await store.knowAddress('lasting', START, START + 30 * DAY)
  await store.takeAttempt('lasting', 5, START + 1)
  t.match(row('lasting'), { pending: 1, expires_at: START + 30 * DAY })
})
