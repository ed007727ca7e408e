import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { build as buildApp } from '../../src/app.ts'
import { PURGED_AT_ONCE } from '../../src/pages.ts'
import { Unavailable } from '../../src/unavailable.ts'
import { build, fakeClock, folder, getPrivate, login, registerAndLogin, settings } from '../fixtures/app.ts'
import { eventually, sql } from '../fixtures/accounts.ts'
import { captureLog, select } from '../fixtures/refresh.ts'
import { captureIntervals } from '../fixtures/timers.ts'

const PURGE_EVERY = 600_000
const MONTH = 30 * 86_400_000

t.test('sessions that are over are deleted at the start and every 10 min; when that fails it is logged, and the next time works', async (t) => {
  const runInterval = captureIntervals(t)
  const path = folder(t)
  const clock = fakeClock()
  const kept = () => Number(select(path, 'SELECT count(*) AS n FROM sessions')[0]?.['n'])
  const first = await build(t, { path, now: clock.now })
  await registerAndLogin(first)
  await first.close()
  clock.advance(MONTH)
  t.equal(kept(), 1)

  const app = await build(t, { path, now: clock.now, env: { LOG_LEVEL: 'error' } })
  await eventually(async () => kept() === 0)
  const lines = captureLog(t, app)
  await login(app)
  clock.advance(MONTH)
  sql(path, 'ALTER TABLE sessions RENAME TO sessions_away')
  runInterval(PURGE_EVERY)
  await eventually(async () => lines.length > 0)
  t.match(lines, [{ msg: 'expired rows could not be purged' }])
  sql(path, 'ALTER TABLE sessions_away RENAME TO sessions')
  t.equal(kept(), 1)
  runInterval(PURGE_EVERY)
  await eventually(async () => kept() === 0)
  t.equal(lines.length, 1)
})

t.test('when nothing can be written at the start → it starts all the same, the log says what failed, and reads are answered', async (t) => {
  const path = folder(t)
  const before = await build(t, { path })
  const { access_token: token } = await registerAndLogin(before)
  await before.close()

  const app = await buildApp(settings(path))
  t.teardown(() => app.close())
  const lines = captureLog(t, app)
  const { store } = app.db
  const fails = async () => { throw new Unavailable(new Error('database or disk is full')) }
  const writes = (['purgeSessions', 'purgeAttempts', 'purgeAuditEvents', 'insertAuditEvent'] as const).map((name) => t.intercept(store, name, { value: fails }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  await eventually(async () => lines.length === 2)
  t.strictSame(lines.map(({ msg }) => msg).sort(), ['an audit event could not be stored', 'expired rows could not be purged'])
  t.equal((await app.inject('/readyz')).statusCode, 200)
  t.equal((await getPrivate(app, token)).statusCode, 200)
  for (const write of writes) write.restore()
})

t.test('a purge that takes long → the service is ready meanwhile, and closes after the batch that is under way', async (t) => {
  const app = await buildApp(settings(folder(t)))
  const { store } = app.db
  let batches = 0
  const purging = t.intercept(store, 'purgeSessions', {
    value: async () => {
      batches += 1
      await delay(20)
      return PURGED_AT_ONCE
    }
  })
  await app.ready()
  t.equal((await app.inject('/readyz')).statusCode, 200)
  await eventually(async () => batches > 1)
  await app.close()
  const done = batches
  await delay(50)
  t.equal(batches, done)
  purging.restore()
})
