import t from 'tap'
import { ANNOUNCEMENT } from '../../src/key-life.ts'
import { getPrivate, refresh, registerAndLogin } from '../fixtures/app.ts'
import { commandLine, serviceAndCommands } from '../fixtures/commands.ts'

t.test('keys list shows the key of the first start as signing', async (t) => {
  const { app, latchkey } = await serviceAndCommands(t)
  const kid = app.keys.signer()?.kid
  t.strictSame(await latchkey('keys', 'list'), ['KID                                          ALG    STATE    FROM', `${kid}  ES256  signing  -`])
  t.strictSame(await latchkey('keys', 'list', '--json'), [`{"kid":"${kid}","alg":"ES256","state":"signing","from":null}`])
})

t.test('keys list where a shared secret signs → says so, to people', async (t) => {
  const { app, path, clock } = await serviceAndCommands(t)
  const latchkey = commandLine(path, clock.now, { env: { LATCHKEY_ALGORITHM: 'HS256', LATCHKEY_HS_SECRET: 'Zt5xQ9bLw2Vn8Rk4Jd7Gs0Yh3Mf6Pc1TaE' } })
  const kid = app.keys.signer()?.kid
  t.strictSame((await latchkey('keys', 'list')).slice(1), [`${kid}  ES256  reserve  -`, 'HS256: access tokens are signed with LATCHKEY_HS_SECRET, and with none of these'])
  t.strictSame(await latchkey('keys', 'list', '--json'), [`{"kid":"${kid}","alg":"ES256","state":"reserve","from":null}`])
})

t.test('keys rotate announces a key, lets it sign six minutes later, and logs nobody out', async (t) => {
  const { app, clock, latchkey } = await serviceAndCommands(t)
  const before = await registerAndLogin(app)
  const old = app.keys.signer()?.kid
  const [line = ''] = await latchkey('keys', 'rotate')
  const fresh = line.split(' ')[0]
  t.equal(line, `${fresh} signs from ${new Date(clock.now() + ANNOUNCEMENT).toISOString()}`)

  await app.keys.reload()
  t.same(app.keys.published().map((key) => key.kid), [old, fresh], 'the new key is announced')
  t.equal(app.keys.signer()?.kid, old, 'and does not sign yet')
  t.match((await latchkey('keys', 'list')).join('\n'), new RegExp(`${old}.*signing[^]*${fresh}.*coming`))

  clock.advance(ANNOUNCEMENT)
  t.equal(app.keys.signer()?.kid, fresh)
  t.equal((await getPrivate(app, before.access_token)).statusCode, 200, 'a token of the old key opens as before')
  t.equal((await refresh(app, before.refresh_token)).statusCode, 200)
  t.match((await latchkey('keys', 'list')).join('\n'), new RegExp(`${old}.*retiring[^]*${fresh}.*signing`))

  clock.advance(3_600_000)
  t.match((await latchkey('keys', 'list')).join('\n'), new RegExp(`${old}.*retired[^]*${fresh}.*signing`))
  t.same(app.keys.published().map((key) => key.kid), [fresh])
})

t.test('keys rotate --now lets the new key sign at once', async (t) => {
  const { app, latchkey } = await serviceAndCommands(t)
  const [line = ''] = await latchkey('keys', 'rotate', '--now')
  await app.keys.reload()
  t.equal(app.keys.signer()?.kid, line.split(' ')[0])
})

t.test('keys rotate --now twice in one millisecond → the second says so', async (t) => {
  const { latchkey } = await serviceAndCommands(t)
  await latchkey('keys', 'rotate', '--now')
  await t.rejects(latchkey('keys', 'rotate', '--now'), { name: 'Refused', message: /at this very moment/ })
})

t.test('keys revoke lets the tokens of the key open nothing, and a new key sign', async (t) => {
  const { app, clock, latchkey } = await serviceAndCommands(t)
  const { access_token: token, refresh_token: refreshToken } = await registerAndLogin(app)
  const kid = String(app.keys.signer()?.kid)
  t.strictSame(await latchkey('keys', 'revoke', kid, '--json'), [`{"kid":"${kid}"}`])
  clock.advance(30_000)
  await app.keys.reload()
  t.equal((await getPrivate(app, token)).statusCode, 401)
  const fresh = await refresh(app, refreshToken)
  t.equal(fresh.statusCode, 200, 'nobody is logged out')
  t.equal((await getPrivate(app, fresh.json().access_token)).statusCode, 200)
  t.match((await latchkey('keys', 'list')).join('\n'), new RegExp(`${kid}.*revoked[^]*signing`))
})

t.test('keys revoke of a key that does not sign makes no new one', async (t) => {
  const { latchkey } = await serviceAndCommands(t)
  const [line = ''] = await latchkey('keys', 'rotate')
  await latchkey('keys', 'revoke', String(line.split(' ')[0]))
  t.equal((await latchkey('keys', 'list', '--json')).length, 2)
})

t.test('keys revoke of an unknown or a revoked key → says so', async (t) => {
  const { latchkey } = await serviceAndCommands(t)
  for (const kid of ['nothing', `-${'x'.repeat(42)}`, `-h${'x'.repeat(41)}`, `--${'x'.repeat(41)}`]) {
    await t.rejects(latchkey('keys', 'revoke', kid, '--json'), { name: 'Refused', message: /no such key/ }, kid)
  }
})
