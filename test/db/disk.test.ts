import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { bearer, folder, PASSWORD } from '../fixtures/app.ts'
import { createDisk, limitedFiles, type Room, smallDisk, withoutCompiler, withoutMount, withoutPrlimit } from '../fixtures/disk.ts'
import { type Answer, ask, bare, call, freePort, type Process, startProcess } from '../fixtures/process.ts'
import { fastForwards } from '../fixtures/refresh.ts'

const port = await freePort()
/** Time enough to send a hundred requests where other tests want the machine too (ms). */
const SENT_WITHIN = 300

/** A server of this test's own, ended with it. */
async function start (t: Test, path: string, env: NodeJS.ProcessEnv = {}): Promise<Process> {
  const server = await startProcess(port, { ...bare, DATABASE_URL: `file:${path}/latchkey.db`, LATCHKEY_HASH_QUEUE: '1000', ...env })
  t.teardown(() => server.child.kill('SIGKILL'))
  return server
}

async function status (url: string, path: string, body: object) {
  return (await call(url, path, body))?.status
}

async function read (url: string, path: string, token = '') {
  return (await ask(url + path, { headers: bearer(token) })).status
}

interface Pair {
  access: string
  refresh: string
}

function pair (answer: Answer | undefined): Pair {
  const { access_token: access, refresh_token: refresh } = answer?.body ?? {}
  if (access === undefined || refresh === undefined) throw new Error(`no tokens: ${answer?.status}`)
  return { access, refresh }
}

/** Sessions of one new user. */
async function sessions (url: string, username: string, count: number): Promise<Pair[]> {
  await call(url, '/register', { username, password: PASSWORD })
  return await Promise.all(Array.from({ length: count }, async () => pair(await call(url, '/login', { username, password: PASSWORD }))))
}

const refreshAll = (url: string, pairs: Pair[]) => Promise.all(pairs.map(({ refresh }) => call(url, '/refresh', { refresh_token: refresh })))

interface Fault {
  path: string
  env?: NodeJS.ProcessEnv
  strike: (pid: number) => unknown
  mend: (pid: number) => unknown
}

async function refused (t: Test, url: string, session: Pair | undefined, requests: Promise<Answer | undefined | (Answer | undefined)[]>[]) {
  for (const answer of (await Promise.all(requests)).flat()) t.match(answer, { status: 503, retryAfter: '5', body: { code: 'unavailable' } })
  t.strictSame([await read(url, '/livez'), await read(url, '/private', session?.access)], [200, 200], 'what needs no write goes on')
}

/** What must hold whatever the disk does: no write is acknowledged that is not kept, and when it is well again so is the service. */
async function survives (t: Test, { path, env, strike, mend }: Fault) {
  const { url, child, end } = await start(t, path, env)
  const pid = Number(child.pid)
  const [first, ...staying] = await sessions(url, 'ada', 12)
  if (first === undefined) throw new Error('twelve sessions')

  const password = { current_password: PASSWORD, new_password: 'another good password' }
  const register = (username: string) => call(url, '/register', { username, password: PASSWORD })
  const login = () => call(url, '/login', { username: 'ada', password: PASSWORD })

  strike(pid)
  for (let round = 0; round < 2; round++) {
    await refused(t, url, staying[0], [
      refreshAll(url, staying), register('late'), login(),
      call(url, '/logout', { refresh_token: first.refresh }), call(url, '/password', password, first.access)
    ])
  }
  mend(pid)
  const newer = (await refreshAll(url, staying)).map(pair)
  const newest = (await refreshAll(url, newer)).map(pair)
  t.equal((await register('late'))?.status, 201)
  const [leaving, ...live] = newest
  t.equal(await status(url, '/logout', { refresh_token: leaving?.refresh ?? '' }), 204)

  strike(pid)
  // Of these nobody knows whether they are kept, as of a request whose answer was lost: a crash follows.
  await refused(t, url, live[0], [refreshAll(url, live), register('later'), login()])
  t.equal(await end('SIGKILL'), 'SIGKILL')
  mend(pid)

  const again = await start(t, path)
  t.strictSame((await refreshAll(again.url, live)).map((answer) => answer?.status), live.map(() => 200))
  t.strictSame(fastForwards(path), [], 'and no rotation that was acknowledged is lost')
  t.equal(await status(again.url, '/refresh', { refresh_token: leaving?.refresh ?? '' }), 401, 'the logout that was acknowledged holds')
  t.equal(await status(again.url, '/login', { username: 'late', password: PASSWORD }), 200, 'so does the registration')
  await again.end('SIGKILL')
}

t.test('a disk whose fsync fails → 503 for every write; well again → 200 without a restart; nothing acknowledged is lost', { skip: withoutCompiler }, async (t) => {
  const disk = createDisk(t)
  await survives(t, { path: folder(t), env: disk.env, strike: () => disk.failing(true), mend: () => disk.failing(false) })
})

const full: [string, (t: Test) => Room, string | false][] = [
  ['a full disk', smallDisk, withoutMount],
  ['files that cannot grow', limitedFiles, withoutPrlimit]
]

for (const [name, make, skip] of full) {
  t.test(`${name} → 503 for every write; with room again → 200 without a restart; nothing acknowledged is lost`, { skip }, async (t) => {
    const room = make(t)
    await survives(t, { path: room.path, strike: room.fill, mend: room.makeRoom })
  })
}

t.test('300 refreshes on a disk whose fsync takes 10 ms → 200 each, and one fsync for many', { skip: withoutCompiler }, async (t) => {
  const disk = createDisk(t)
  const { url, child: { pid = 0 }, end } = await start(t, folder(t), disk.env)
  let pairs = await sessions(url, 'ada', 100)
  disk.slow(10)
  const before = disk.syncs()
  const started = performance.now()
  for (let round = 0; round < 3; round++) {
    // It stands still until they are sent: however slowly this process does that, they are there together.
    process.kill(pid, 'SIGSTOP')
    const answers = refreshAll(url, pairs)
    await delay(SENT_WITHIN)
    process.kill(pid, 'SIGCONT')
    pairs = (await answers).map(pair)
  }
  const syncs = disk.syncs() - before
  t.comment(`300 refreshes, ${syncs} fsyncs, ${Math.round(performance.now() - started)} ms`)
  t.ok(syncs >= Math.ceil(300 / 64), `${syncs} fsyncs: what is answered has been kept`)
  t.ok(syncs <= 300 / 4, `${syncs} fsyncs for 300 refreshes`)

  const one = disk.syncs()
  pairs.splice(1)
  for (let n = 0; n < 5; n++) { pairs = (await refreshAll(url, pairs)).map(pair); await delay(1) }
  t.ok(disk.syncs() - one >= 5, 'those that come one by one are kept one by one')
  await end('SIGKILL')
})
