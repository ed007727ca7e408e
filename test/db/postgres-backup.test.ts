import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { bearer, build, getPrivate, login, post, refresh, register, registerAndLogin } from '../fixtures/app.ts'
import { tokensAnswer } from '../fixtures/accounts.ts'
import { cluster, programs, withCluster } from '../fixtures/cluster.ts'
import { decode } from '../fixtures/forge.ts'
import { psql, SECRET } from '../fixtures/postgres.ts'

const env = (url: string) => ({ DATABASE_URL: url, LATCHKEY_SECRET: SECRET })

t.test('POST /refresh after a backup was restored (pg_dump, psql) → 200 for tokens newer than it: session_fast_forward; the sessions and accounts since then are gone: 401', withCluster, async (t) => {
  const { create } = await cluster()
  const [from, to] = [create('before'), create('restored')]
  const app = await build(t, { env: env(from) })
  const ada = await registerAndLogin(app)
  const { refresh_token: second } = (await refresh(app, ada.refresh_token)).json()
  const dump = execFileSync(join(programs, 'pg_dump'), ['--no-owner', '-d', from])
  let newest = second
  for (let i = 0; i < 3; i++) newest = (await refresh(app, newest)).json().refresh_token
  const late = await registerAndLogin(app, 'late')
  await app.close()

  execFileSync('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', to], { input: dump, stdio: ['pipe', 'ignore', 'pipe'] })
  const restored = await build(t, { env: env(to) })
  const response = await refresh(restored, newest)
  t.equal(response.statusCode, 200)
  t.strictSame(psql("SELECT session_id FROM audit_events WHERE event = 'session_fast_forward'", to), decode(newest).payload['sid'])
  t.equal(decode(response.json().refresh_token).payload['gen'], 6)
  t.strictSame(await tokensAnswer(restored, response.json()), { access: 200, refresh: 200 })
  t.strictSame(await tokensAnswer(restored, late), { access: 401, refresh: 401 })
  t.ok(await login(restored))
})

/** What any client does; every answer has to be good. */
async function useAll (t: Test, app: FastifyInstance, username: string) {
  await register(app, username, { email: `${username}@example.com` })
  const first = await login(app, username)
  const second = (await refresh(app, first.refresh_token)).json()
  t.strictSame(await tokensAnswer(app, second), { access: 200, refresh: 200 })
  for (const url of ['/me', '/sessions']) t.equal((await app.inject({ url, headers: bearer(second.access_token) })).statusCode, 200, url)
  const other = await login(app, username)
  t.equal((await post(app, '/logout', { refresh_token: other.refresh_token })).statusCode, 204)
  t.equal((await getPrivate(app, other.access_token)).statusCode, 401)
  const wrong = await post(app, '/login', { username, password: 'a wrong password' })
  t.equal(wrong.statusCode, 401)
  t.equal((await app.inject('/readyz')).statusCode, 200)
}

t.test('a later release adds columns and a table while this one runs → this one answers as ever, and starts again', withCluster, async (t) => {
  const { create } = await cluster()
  const url = create('later')
  const running = await build(t, { env: env(url) })
  await useAll(t, running, 'ada')
  for (const table of ['users', 'sessions', 'signing_keys', 'login_attempts', 'audit_events']) {
    psql(`ALTER TABLE ${table} ADD COLUMN later text NOT NULL DEFAULT 'later'`, url)
  }
  psql(`CREATE TABLE devices (id text PRIMARY KEY, session_id text REFERENCES sessions (id));
    INSERT INTO __drizzle_migrations (hash, created_at) SELECT 'later', max(created_at) + 1 FROM __drizzle_migrations`, url)

  await useAll(t, running, 'bob')
  const started = await build(t, { env: env(url) })
  await useAll(t, started, 'eve')
  t.equal(psql("SELECT count(*) FROM sessions WHERE later <> 'later'", url), '0')
})
