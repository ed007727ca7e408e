import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { folder } from './fixtures/app.ts'
import { type Client, createClient } from './fixtures/crash-client.ts'
import { dataIn } from './fixtures/database.ts'
import { bare, freePort, type Process, startProcess } from './fixtures/process.ts'
import { fastForwards } from './fixtures/refresh.ts'
import { times } from './fixtures/sockets.ts'

const CRASHES = 21
const CLIENTS = 12
/** After so many, others take the place of all clients. */
const CRASHES_OF_A_CLIENT = 3

// So many starts take their time where other tests want the machine too.
const TIMEOUT_MS = 240_000

t.test(`kill -9 under load, ${CRASHES} times: nothing acknowledged is lost, no client is stuck, and a copied token ends its session`, { timeout: TIMEOUT_MS }, async (t) => {
  const path = folder(t)
  const port = await freePort()
  const clients = times(CRASHES / CRASHES_OF_A_CLIENT * CLIENTS, createClient)
  const waiting = [...clients]
  let living: Client[] = []

  for (let crash = 0; crash <= CRASHES; crash++) {
    const server = await startProcess(port, { ...bare, ...dataIn(path) })
    if (crash % CRASHES_OF_A_CLIENT === 0) {
      await Promise.all(living.map(({ retire }) => retire(server.url)))
      living = waiting.splice(0, CLIENTS)
    }
    t.equal(await killUnderLoad(server, living), 'SIGKILL')
  }

  t.strictSame(clients.flatMap(({ problems }) => problems), [])
  t.strictSame(fastForwards(path), [], 'no rotation is lost: a token newer than its row would be let in, too')
  const total = (name: keyof Client['counts']) => clients.reduce((sum, { counts }) => sum + counts[name], 0)
  t.comment(`${total('registered')} registrations, ${total('refreshed')} refreshes, ${total('loggedOut')} logouts, ${total('changed')} password changes acknowledged`)
  t.ok(total('registered') > clients.length, 'there were registrations under load')
  t.ok(total('refreshed') > CRASHES * CLIENTS, 'there was load')
  t.ok(total('loggedOut') > 0 && total('changed') > 0)
})

async function killUnderLoad ({ url, end }: Process, clients: Client[]) {
  const checks: Promise<void>[] = []
  const run = async ({ check, step }: Client) => {
    const checked = check(url)
    checks.push(checked)
    await checked
    while (await step(url, Math.random()));
  }
  // Who has found everything in order goes on at once: the others' checks are part of the load.
  const load = Promise.all(clients.map(run))
  await Promise.all(checks)
  await delay(50 + Math.random() * 200)
  const ended = await end('SIGKILL')
  await load
  return ended
}
