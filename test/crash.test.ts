import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { folder, PASSWORD } from './fixtures/app.ts'
import { type Answer, bare, call, freePort, startProcess } from './fixtures/process.ts'

const CRASHES = 20
const CLIENTS = 12

/** An honest client: it keeps what it was told, and knows what it was not told. */
function createClient (n: number) {
  const username = `client-${n}`
  const problems: string[] = []
  const counts = { registered: 0, refreshed: 0, loggedOut: 0, changed: 0 }
  let registered = false
  let passwords = [PASSWORD]
  let jar: { access: string, refresh: string } | undefined
  const gone: string[] = []

  /** Does the next thing; false when the server went away meanwhile. */
  async function step (url: string, dice: number): Promise<boolean> {
    if (!registered) return await register(url)
    if (jar === undefined) return await login(url)
    if (dice < 0.06) return await logout(url, jar.refresh)
    if (dice < 0.12) return await changePassword(url, jar.access)
    return await refresh(url, jar.refresh)
  }

  async function register (url: string) {
    const answer = await call(url, '/register', { username, password: PASSWORD })
    // 409: the request whose answer was lost had been done.
    registered = answer?.status === 201 || answer?.status === 409
    if (registered) counts.registered += 1
    return answer !== undefined
  }

  async function login (url: string) {
    for (const password of passwords) {
      const answer = await call(url, '/login', { username, password })
      if (answer === undefined) return false
      // Attempts that a crash has cut off count as under way for a minute.
      if (answer.status === 429) return await delay(20, true)
      if (answer.status !== 200) continue
      passwords = [password]
      keep(answer)
      return true
    }
    problems.push(`${username} can log in with none of ${passwords.length} passwords`)
    return true
  }

  async function refresh (url: string, token: string) {
    const answer = await call(url, '/refresh', { refresh_token: token })
    if (answer === undefined) return false
    if (answer.status === 200) { keep(answer); counts.refreshed += 1 } else problems.push(`${username}: refresh ${answer.status}`)
    return true
  }

  async function logout (url: string, token: string) {
    const answer = await call(url, '/logout', { refresh_token: token })
    // Without an answer it may be over or not; either way the client throws its tokens away.
    jar = undefined
    if (answer === undefined) return false
    if (answer.status === 204) { gone.push(token); counts.loggedOut += 1 } else problems.push(`${username}: logout ${answer.status}`)
    return true
  }

  async function changePassword (url: string, access: string) {
    const next = `${PASSWORD} ${username} ${counts.changed} ${passwords.length}`
    const [current = ''] = passwords
    const answer = await call(url, '/password', { current_password: current, new_password: next }, access)
    // Without an answer it may have been done or not.
    if (answer === undefined) { passwords = [next, current]; jar = undefined; return false }
    if (answer.status === 204) { passwords = [next]; counts.changed += 1 } else problems.push(`${username}: password ${answer.status}`)
    return true
  }

  function keep ({ body }: Answer) {
    jar = { access: String(body.access_token), refresh: String(body.refresh_token) }
  }

  /** After a restart: what was acknowledged holds. */
  async function check (url: string) {
    for (const token of gone.splice(0)) {
      const answer = await call(url, '/refresh', { refresh_token: token })
      if (answer?.status !== 401) problems.push(`${username}: a session that was logged out lives: ${answer?.status}`)
    }
    if (jar) await refresh(url, jar.refresh)
    else if (registered) await login(url)
  }

  return { step, check, problems, counts }
}

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
    const run = async ({ check, step }: (typeof clients)[number]) => {
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
  const total = (name: keyof (typeof clients)[number]['counts']) => clients.reduce((sum, { counts }) => sum + counts[name], 0)
  t.comment(`${total('refreshed')} refreshes, ${total('loggedOut')} logouts, ${total('changed')} password changes acknowledged`)
  t.equal(total('registered'), CLIENTS)
  t.ok(total('refreshed') > CRASHES * CLIENTS, 'there was load')
  t.ok(total('loggedOut') > 0 && total('changed') > 0)
})
