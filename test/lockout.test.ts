import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { bearer, build, fakeClock, folder, login, newAddress, PASSWORD, register, registerAndLogin, tryLogin } from './fixtures/app.ts'
import { fillQueue, isProblem, lasting, select, tokensAnswer } from './fixtures/accounts.ts'
import { DAY, HOUR, MINUTE } from './fixtures/attempts-model.ts'

const path = folder(t)
const clock = fakeClock()
const app = await build(t, { path, now: clock.now })

async function fail (username: string, from: string, times = 1) {
  for (let i = 0; i < times; i++) {
    const { statusCode, body } = await tryLogin(app, username, 'wrong password', from)
    if (statusCode !== 401) throw new Error(body)
  }
}

/** Asserts that the right password is not even looked at. */
async function isLocked (t: Test, username: string, from: string, seconds: number) {
  isRefused(t, await tryLogin(app, username, PASSWORD, from), seconds)
}

function isRefused (t: Test, response: LightMyRequestResponse, seconds: number) {
  isProblem(t, response, 'too_many_attempts')
  t.equal(response.headers['retry-after'], String(seconds))
}

function change (token: string, current: string, remoteAddress: string) {
  return app.inject({ method: 'POST', url: '/password', payload: { current_password: current, new_password: PASSWORD }, headers: bearer(token), remoteAddress })
}

t.test('POST /login with five wrong passwords from one address → 401; then 429 too_many_attempts for 1 minute, doubling to 15', async (t) => {
  await register(app, 'ada')
  const from = newAddress()
  await fail('ada', from, 4)
  for (const minutes of [1, 2, 4, 8, 15, 15]) {
    const response = await tryLogin(app, 'ada', 'wrong password', from)
    isProblem(t, response, 'invalid_credentials')
    t.notOk('retry-after' in response.headers)
    await isLocked(t, 'ada', from, minutes * 60)
    clock.advance(minutes * MINUTE - 1)
    await isLocked(t, 'ada', from, 1)
    clock.advance(1)
  }
  t.equal((await tryLogin(app, 'ada', PASSWORD, newAddress())).statusCode, 200, 'another address is free')
  t.equal((await tryLogin(app, 'ada', PASSWORD, from)).statusCode, 200, 'and so is this one when the delay is over')
})

t.test('POST /login with the right password → 200, and the failures before it are forgotten', async (t) => {
  await register(app, 'bob')
  const from = newAddress()
  for (let round = 0; round < 3; round++) {
    await fail('bob', from, 4)
    t.equal((await tryLogin(app, 'bob', PASSWORD, from)).statusCode, 200)
  }
  await fail('bob', from, 5)
  await isLocked(t, 'bob', from, 60)
})

t.test('POST /login of an unknown name → answers as for a known one, one by one: 401, 429', async (t) => {
  await register(app, 'carol', { email: 'carol@example.org' })
  const [from, other] = [newAddress(), newAddress()]
  const compare = async (names: [string, string], address: (i: number) => string, rounds: number) => {
    const answers = []
    for (let i = 0; i < rounds; i++) {
      const known = await tryLogin(app, names[0], 'wrong password', address(i))
      answers.push(known.statusCode)
      t.strictSame(lasting(await tryLogin(app, names[1], 'wrong password', address(i))), lasting(known), names[1])
    }
    return answers
  }
  t.strictSame(await compare(['carol', 'nobody'], () => from, 7), [401, 401, 401, 401, 401, 429, 429])
  t.strictSame(await compare(['carol@example.org', 'nobody@example.org'], () => from, 6), [401, 401, 401, 401, 401, 429])
  t.strictSame(await compare(['carol', 'no possible name'], () => other, 6), [401, 401, 401, 401, 401, 429])
  const addresses = Array.from({ length: 46 }, newAddress)
  const statuses = await compare(['carol@example.org', 'nobody@example.org'], (i) => addresses[i] ?? '', 46)
  t.strictSame(statuses, [...Array.from({ length: 45 }, () => 401), 429])
})

t.test('POST /login with 50 failures in an hour from anywhere → 429 from addresses that are not the account\'s own', async (t) => {
  await register(app, 'dora', { email: 'dora@example.org' })
  const [home, long] = [newAddress(), newAddress()]
  t.equal((await tryLogin(app, 'dora', PASSWORD, long)).statusCode, 200)
  clock.advance(DAY)
  t.equal((await tryLogin(app, 'dora', PASSWORD, home)).statusCode, 200)
  clock.advance(29 * DAY)
  for (let i = 0; i < 50; i++) await fail('dora', newAddress())
  await isLocked(t, 'dora', newAddress(), 3600)
  await isLocked(t, 'dora', long, 3600)
  clock.advance(MINUTE)
  await fail('dora', home, 4)
  t.equal((await tryLogin(app, 'dora', PASSWORD, home)).statusCode, 200)
  await isLocked(t, 'dora', newAddress(), 3540)
  t.equal((await tryLogin(app, 'dora@example.org', PASSWORD, newAddress())).statusCode, 200, 'by the other name it has an allowance of its own')
  clock.advance(HOUR - MINUTE)
  t.equal((await tryLogin(app, 'dora', PASSWORD, newAddress())).statusCode, 200)
})

t.test('POST /login → 200, and its address is known by the username and by the e-mail address', async (t) => {
  await register(app, 'eve', { email: 'eve@example.org' })
  const home = newAddress()
  t.equal((await tryLogin(app, 'eve', PASSWORD, home)).statusCode, 200)
  for (let i = 0; i < 50; i++) await fail('eve@example.org', newAddress())
  await isLocked(t, 'eve@example.org', newAddress(), 3600)
  t.equal((await tryLogin(app, 'eve@example.org', PASSWORD, home)).statusCode, 200)
})

t.test('POST /login from any address of one /64 of IPv6, or from one of IPv4 written as IPv6 → one address: 401, 429', async (t) => {
  for (let i = 0; i < 5; i++) await fail('fay', `2001:db8:0:1::${i + 1}`)
  await isLocked(t, 'fay', '2001:db8:0:1:ffff:ffff:ffff:ffff', 60)
  await fail('fay', '2001:db8:0:2::1')
  await fail('fay', '::ffff:192.0.2.1', 5)
  await isLocked(t, 'fay', '192.0.2.1', 60)
})

t.test('POST /login that has to wait → 429 before anything is hashed; a full queue counts no failure → 503', async (t) => {
  await register(app, 'gail')
  const from = newAddress()
  await fail('gail', from, 4)
  const release = fillQueue(app)
  for (let i = 0; i < 10; i++) isProblem(t, await tryLogin(app, 'gail', 'wrong password', from), 'overloaded')
  release()
  await fail('gail', from)

  const again = fillQueue(app)
  await isLocked(t, 'gail', from, 60)
  again()
  const places = t.capture(app.passwords, 'reserve', app.passwords.reserve)
  await isLocked(t, 'gail', from, 60)
  t.strictSame(places(), [])
})

t.test('sessions of an account whose logins have to wait go on → 200', async (t) => {
  const pair = await registerAndLogin(app, 'hal')
  const from = '127.0.0.1'
  await fail('hal', from, 5)
  for (let i = 0; i < 50; i++) await fail('hal', newAddress())
  await isLocked(t, 'hal', from, 60)
  t.strictSame(await tokensAnswer(app, pair), { access: 200, refresh: 200 })
})

t.test('POST /login that breaks before it is judged → 500, and no attempt is counted', async (t) => {
  await register(app, 'ida')
  const from = newAddress()
  const broken = t.intercept(app.db.store, 'openSession', { value: async () => { throw new Error('no disk') } })
  for (let i = 0; i < 10; i++) isProblem(t, await tryLogin(app, 'ida', PASSWORD, from), 'internal_error')
  broken.restore()
  t.equal((await tryLogin(app, 'ida', PASSWORD, from)).statusCode, 200)
})

t.test('a restart changes nothing → 429, and 401 when the delay is over', async (t) => {
  const path = folder(t)
  const first = await build(t, { path, now: clock.now })
  const from = newAddress()
  for (let i = 0; i < 6; i++) await tryLogin(first, 'jack', 'wrong password', from)
  await first.close()
  const second = await build(t, { path, now: clock.now })
  isRefused(t, await tryLogin(second, 'jack', PASSWORD, from), 60)
  clock.advance(MINUTE)
  isProblem(t, await tryLogin(second, 'jack', 'wrong password', from), 'invalid_credentials')
  isRefused(t, await tryLogin(second, 'jack', PASSWORD, from), 120)
})

t.test('the counters tell no name and no address, and are gone 24 h after the last failure; those of known addresses after 30 days', async (t) => {
  const path = folder(t)
  const other = await build(t, { path, now: clock.now })
  const count = () => select(path, 'SELECT count(*) AS n FROM login_attempts')[0]?.['n']
  await register(other, 'kim')
  for (let i = 0; i < 3; i++) await tryLogin(other, 'kim', 'wrong password', '192.0.2.77')
  clock.advance(HOUR)
  await tryLogin(other, 'kim', 'wrong password', '192.0.2.77')
  t.equal(count(), 2)
  t.notMatch(JSON.stringify(select(path, 'SELECT * FROM login_attempts')), /kim|192\.0/)
  clock.advance(DAY - 1)
  await other.purge()
  t.equal(count(), 2)
  clock.advance(1)
  await other.purge()
  t.equal(count(), 0)

  await tryLogin(other, 'kim', PASSWORD, '192.0.2.77')
  clock.advance(30 * DAY - 1)
  await other.purge()
  t.equal(count(), 1)
  clock.advance(1)
  await other.purge()
  t.equal(count(), 0)
})

t.test('POST /password with five wrong passwords → 401; then 429 too_many_attempts, at /login too, and the lock is recorded', async (t) => {
  const { access_token: token, user } = await registerAndLogin(app, 'lea')
  const from = newAddress()
  for (let i = 0; i < 5; i++) isProblem(t, await change(token, 'wrong password', from), 'invalid_credentials')
  const refused = await change(token, PASSWORD, from)
  isProblem(t, refused, 'too_many_attempts')
  t.equal(refused.headers['retry-after'], '60')
  await isLocked(t, 'lea', from, 60)
  const events = select(path, "SELECT event FROM audit_events WHERE user_id = ? AND event IN ('authn_login_lock', 'authn_password_change_fail') ORDER BY id", user.id)
  t.strictSame(events.map(({ event }) => event).sort(), ['authn_login_lock', ...Array.from({ length: 5 }, () => 'authn_password_change_fail')])
  clock.advance(MINUTE)
  const { access_token: fresh } = await login(app, 'lea')
  t.equal((await change(fresh, PASSWORD, from)).statusCode, 204)
})

t.test('POST /password with the right password → 204, and its address is known by every name', async (t) => {
  await register(app, 'mia', { email: 'mia@example.org' })
  const { access_token: token } = await login(app, 'mia')
  const home = newAddress()
  t.equal((await change(token, PASSWORD, home)).statusCode, 204)
  for (let i = 0; i < 50; i++) await fail('mia@example.org', newAddress())
  await isLocked(t, 'mia@example.org', newAddress(), 3600)
  t.equal((await tryLogin(app, 'mia@example.org', PASSWORD, home)).statusCode, 200)
})

t.test('POST /password whose comparison breaks → 500, and no attempt is counted', async (t) => {
  const { access_token: token } = await registerAndLogin(app, 'nan')
  const from = newAddress()
  const broken = t.intercept(app.passwords, 'verify', { value: async () => { throw new Error('no thread') } })
  for (let i = 0; i < 10; i++) isProblem(t, await change(token, PASSWORD, from), 'internal_error')
  broken.restore()
  t.equal((await change(token, PASSWORD, from)).statusCode, 204)
})
