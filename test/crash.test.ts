import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { folder } from './fixtures/app.ts'
import { type Client, createClient } from './fixtures/crash-client.ts'
import { bare, freePort, startProcess } from './fixtures/process.ts'

const CRASHES = 20
const CLIENTS = 12

// Twenty starts take their time where other tests want the machine too.
const TIMEOUT_MS = 240_000
t.setTimeout(TIMEOUT_MS)

t.test(`kill -9 under load, ${CRASHES} times: nothing acknowledged is lost and no client is stuck`, { timeout: TIMEOUT_MS }, async (t) => {
  const env = { ...bare, DATABASE_URL: `file:${join(folder(t), 'latchkey.db')}` }
  const port = await freePort()
  const clients = Array.from({ length: CLIENTS }, (_, n) => createClient(n))

  for (let crash = 0; crash <= CRASHES; crash++) {
    const server = await startProcess(port, env)
    const checks: Promise<void>[] = []
    const run = async ({ check, step }: Client) => {
      const checked = check(server.url)
      checks.push(checked)
      await checked
      while (await step(server.url, Math.random()));
    }
    // Who has found everything in order goes on at once: the others' checks are part of the load.
    const load = Promise.all(clients.map(run))
    await Promise.all(checks)
    await delay(50 + Math.random() * 200)
    t.equal(await server.end('SIGKILL'), 'SIGKILL')
    await load
  }

  t.same(clients.flatMap((client) => client.problems), [])
  const total = (name: keyof Client['counts']) => clients.reduce((sum, { counts }) => sum + counts[name], 0)
  t.comment(`${total('refreshed')} refreshes, ${total('loggedOut')} logouts, ${total('changed')} password changes acknowledged`)
  t.equal(total('registered'), CLIENTS)
  t.ok(total('refreshed') > CRASHES * CLIENTS, 'there was load')
  t.ok(total('loggedOut') > 0 && total('changed') > 0)
})
