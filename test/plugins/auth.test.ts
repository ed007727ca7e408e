import t from 'tap'
import { build, fakeClock, folder, login, registerAndLogin } from '../fixtures/app.ts'
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
  t.equal(kept(), 0)
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
