import t from 'tap'
import { bearer, folder, PASSWORD } from '../fixtures/app.ts'
import { dataIn, select, sql } from '../fixtures/database.ts'
import { decode } from '../fixtures/forge.ts'
import { ask, call } from '../fixtures/process.ts'
import { runProgram } from '../fixtures/program.ts'
import { startServer } from '../fixtures/server.ts'

const path = folder(t)
const env = dataIn(path)
const server = startServer(t, { ...env, LOG_LEVEL: 'error', LATCHKEY_RATE_LIMIT: 'off' })
const origin = await server.origin

async function latchkey (args: string[], input?: string): Promise<string> {
  const { code, out, err } = await runProgram(args, { env, ...(input !== undefined && { input }) })
  if (code !== 0) throw new Error(`latchkey ${args.join(' ')}: ${err}`)
  return out
}

async function login (username: string, password = PASSWORD) {
  const answer = await call(origin, '/login', { username, password })
  const { access_token: access = '', refresh_token: refresh = '' } = answer?.body ?? {}
  return { status: answer?.status, access, refresh }
}

const opens = async ({ access }: { access: string }) => (await ask(`${origin}/private`, { headers: bearer(access) })).status
const refreshes = async ({ refresh }: { refresh: string }) => (await call(origin, '/refresh', { refresh_token: refresh }))?.status

t.test('what the program does beside a running server bites there at once', async (t) => {
  await latchkey(['users', 'create', 'ada'], PASSWORD)
  const [one, other] = [await login('ada'), await login('ada')]
  t.strictSame([one.status, await opens(one)], [200, 200], 'an account that was just made logs in')

  await latchkey(['sessions', 'revoke', String(decode(one.access).payload['sid'])])
  t.strictSame([await opens(one), await refreshes(one), await opens(other)], [401, 401, 200])

  await latchkey(['users', 'set-password', 'ada'], `${PASSWORD}, a new one`)
  t.strictSame([await opens(other), (await login('ada')).status], [401, 401])
  const last = await login('ada', `${PASSWORD}, a new one`)
  t.equal(await opens(last), 200)

  await latchkey(['users', 'delete', 'ada', '--yes'])
  t.strictSame([await opens(last), await refreshes(last), (await login('ada', `${PASSWORD}, a new one`)).status], [401, 401, 401])
})

t.test('while the program deletes and lists thousands of rows, the server answers every request with success', async (t) => {
  await latchkey(['users', 'create', 'bob'], PASSWORD)
  await login('bob')
  const copies = select(path, 'SELECT * FROM sessions')[0] ?? {}
  const columns = Object.keys(copies)
  const from = columns.map((name) => name === 'id' ? "'old-' || n.i" : name === 'expires_at' ? '0' : name).join(', ')
  const numbers = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)'
  sql(path, `${numbers} INSERT INTO sessions (${columns.join(', ')}) SELECT ${from} FROM sessions, n`)

  const work = Promise.all([latchkey(['sessions', 'prune']), latchkey(['sessions', 'list', '--json'])])
  const over = work.then(() => true)
  const statuses: unknown[] = []
  while (!await Promise.race([over, login('bob').then(({ status }) => { statuses.push(status) })]));
  t.match(await work, ['5000 expired sessions deleted\n', /./])
  t.ok(statuses.length > 1)
  t.strictSame([...new Set(statuses)], [200])
})
