import t from 'tap'
import { build, folder, newAddress } from '../fixtures/app.ts'
import { select } from '../fixtures/accounts.ts'
import { adjustableClocks } from '../fixtures/timers.ts'

const call = { method: 'POST', url: '/login' } as const

t.test('a flood → 429, recorded once for each address, limit and window, and counted each time', async (t) => {
  const putForward = adjustableClocks(t)
  const path = folder(t)
  const app = await build(t, { path, env: { LATCHKEY_RATE_LIMIT: 'login=2/1m, default=1/1m', LATCHKEY_METRICS: '127.0.0.1:0' } })
  const [one, other] = [newAddress(), newAddress()]
  const flood = async (remoteAddress: string, requests: number) => { for (let i = 0; i < requests; i++) await app.inject({ ...call, remoteAddress }) }
  const recorded = () => select(path, "SELECT ip, details FROM audit_events WHERE event = 'excess_rate_limit_exceeded' ORDER BY id")
  const event = (ip: string, limit = 'login') => ({ ip, details: JSON.stringify({ limit }) })

  await flood(one, 2)
  t.strictSame(recorded(), [])
  await flood(one, 5)
  await flood(other, 5)
  t.same(recorded(), [event(one), event(other)])
  for (let i = 0; i < 3; i++) await app.inject({ url: '/nothing', remoteAddress: one })
  t.same(recorded(), [event(one), event(other), event(one, 'default')])
  putForward(60_000)
  await flood(one, 4)
  t.same(recorded(), [event(one), event(other), event(one, 'default'), event(one)])

  const counted = await app.metrics?.registry.getSingleMetricAsString('latchkey_rate_limited_total')
  t.match(counted, /\{limit="login"\} 10\n/)
  t.match(counted, /\{limit="default"\} 2$/m)
})
