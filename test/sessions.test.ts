import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { build, fakeClock, folder, login, post, refresh, register, registerAndLogin, START } from './fixtures/app.ts'
import { select, sql, tokensAnswer } from './fixtures/accounts.ts'
import { stored } from './fixtures/database.ts'
import { decode } from './fixtures/forge.ts'
import type { Pair } from './fixtures/sockets.ts'

const DAY = 86_400_000

/** Puts `count` copies of a session beside it, with another absolute expiry. */
function copySessions (path: string, session: unknown, { count, expiresAt, prefix }: { count: number, expiresAt: number, prefix: string }) {
  sql(path, `
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO sessions SELECT ? || i, user_id, epoch, generation, previous, first, rotated_at, idle_expires_at, ?,
      key_id, previous_key_id, revoked_at, revoked_reason, created_at, ip, user_agent FROM sessions, n WHERE id = ?
  `, count, prefix, expiresAt, session)
}

/** Purges; resolves with the size of each batch. */
async function purge (t: Test, app: FastifyInstance): Promise<number[]> {
  const batches = t.capture(app.db.store, 'purgeSessions', app.db.store.purgeSessions)
  await app.purge()
  return await Promise.all(batches().map((batch) => 'returned' in batch ? batch.returned : 0))
}

t.test('sessions past their absolute expiry are purged in batches of 100; live ones, and revoked ones before theirs, stay', async (t) => {
  const path = folder(t)
  const clock = fakeClock()
  const app = await build(t, { path, now: clock.now })
  const live = await registerAndLogin(app)
  const revoked = await login(app)
  await post(app, '/logout', { refresh_token: revoked.refresh_token })
  const [sid, revokedSid] = [live, revoked].map((pair) => decode(pair.access_token).payload['sid'])
  copySessions(path, sid, { count: 240, expiresAt: START, prefix: 'over-' })
  copySessions(path, revokedSid, { count: 1, expiresAt: START, prefix: 'revoked-and-over-' })
  copySessions(path, sid, { count: 1, expiresAt: START + 1, prefix: 'last-millisecond-' })

  t.strictSame(await purge(t, app), [100, 100, 41])
  t.same(select(path, 'SELECT id FROM sessions ORDER BY id'), [sid, revokedSid, 'last-millisecond-1'].sort().map((id) => ({ id })))
  t.strictSame(await tokensAnswer(app, live), { access: 200, refresh: 200 })
  t.strictSame(await tokensAnswer(app, revoked), { access: 401, refresh: 401 })

  clock.advance(1)
  copySessions(path, sid, { count: 99, expiresAt: START, prefix: 'over-' })
  t.strictSame(await purge(t, app), [100, 0], 'a full batch may be the last')
  t.strictSame(await purge(t, app), [0])
  clock.advance(30 * DAY)
  t.strictSame(await purge(t, app), [2])
})

t.test('sessions past their absolute expiry are purged at the start too', async (t) => {
  const path = folder(t)
  const clock = fakeClock()
  const before = await build(t, { path, now: clock.now })
  await registerAndLogin(before)
  await before.close()
  clock.advance(30 * DAY - 1)
  await (await build(t, { path, now: clock.now })).close()
  t.equal(select(path, 'SELECT id FROM sessions').length, 1)
  clock.advance(1)
  await (await build(t, { path, now: clock.now })).close()
  t.equal(select(path, 'SELECT id FROM sessions').length, 0)
})

t.test('no token, nor any part of one that opens anything, is in what the database keeps', async (t) => {
  const path = folder(t)
  const clock = fakeClock()
  const app = await build(t, { path, now: clock.now })
  await register(app)
  const pairs: Pair[] = []
  for (let i = 0; i < 5; i++) {
    let pair = await login(app)
    pairs.push(pair)
    for (let turn = 0; turn < 4; turn++) {
      clock.advance(turn % 2 ? 11_000 : 0)
      const { refresh_token: token } = pair
      pair = (await refresh(app, token)).json()
      pairs.push(pair, (await refresh(app, token)).json())
    }
  }
  const search = (t: Test) => {
    const searched = stored(path)
    const found = (needle: string | Buffer) => searched.some((bytes) => bytes.includes(needle))
    for (const token of pairs.flatMap((pair) => [pair.access_token, pair.refresh_token])) {
      const [, payload = '', signature = ''] = token.split('.')
      if (found(payload) || found(signature) || found(Buffer.from(signature, 'base64url'))) t.fail(`${token} is in ${path}`)
    }
    t.ok(found(String(decode(pairs[0]?.access_token ?? '').payload['sid'])), 'what is there is found')
  }

  search(t)
  await app.close()
  search(t)
})
