import bcrypt from 'bcryptjs'
import fc from 'fast-check'
import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import work from '../src/hash-worker.js'
import { createPasswords, type Passwords } from '../src/passwords.ts'
import { build, folder, getPrivate, login, PASSWORD, register, settings, tryLogin } from './fixtures/app.ts'
import { eventually, isProblem, longestPause, shortest, took } from './fixtures/accounts.ts'

const peppers = [randomBytes(36).toString('base64'), randomBytes(36).toString('base64')] as const
/** Fit for every test: no database is opened for it. */
const path = folder(t)

function create (t: Test, env: NodeJS.ProcessEnv = {}) {
  const passwords = createPasswords(settings(path, { LATCHKEY_HASH_THREADS: '1', ...env }))
  t.teardown(passwords.close)
  return passwords
}

const shared = create(t)

const matches = async (passwords: Passwords, password: string, stored: string | undefined) => (await passwords.verify(password, stored)).matches

/** The threads that start from now on, and how many of them have ended. */
function countThreads (t: Test) {
  const count = { started: 0, ended: 0 }
  const listener = (worker: Worker) => {
    count.started += 1
    worker.once('exit', () => { count.ended += 1 })
  }
  process.on('worker', listener)
  t.teardown(() => process.off('worker', listener))
  return count
}

t.test('the stored form names algorithm, key and cost; the rest is bcrypt over a keyed pre-hash', async (t) => {
  for (const [cost, pepper] of [['4', undefined], ['5', peppers[0]]] as const) {
    const passwords = create(t, { LATCHKEY_BCRYPT_COST: cost, ...(pepper && { LATCHKEY_PASSWORD_PEPPER: pepper }) })
    const stored = await passwords.hash(PASSWORD)
    const [algorithm, key, digits, rest, ...more] = stored.split('$')
    t.match({ algorithm, digits, rest, more }, { algorithm: 'bcrypt_hmac_sha384', digits: `0${cost}`, rest: /^[./A-Za-z0-9]{53}$/, more: [] })
    t.match(key, pepper ? /^[\w-]{8,}$/ : /^builtin$/)
    t.notOk(stored.includes(pepper ?? PASSWORD), 'the key is named, not kept')
    const preHash = createHmac('sha384', pepper ?? 'latchkey password pre-hash, version 1').update(PASSWORD).digest('base64')
    t.ok(bcrypt.compareSync(preHash, `$2b$${digits}$${rest}`), 'as another implementation computes it')
  }
})

t.test('a password matches its own hash and no other; the same password twice gives two hashes', async (t) => {
  const [one, two] = [await shared.hash(PASSWORD), await shared.hash(PASSWORD)]
  t.not(one, two)
  for (const stored of [one, two]) t.match(await shared.verify(PASSWORD, stored), { matches: true, outdated: false, took: Number })
  for (const wrong of ['', PASSWORD.toUpperCase(), `${PASSWORD} `, ` ${PASSWORD}`, PASSWORD.slice(1)]) t.notOk(await matches(shared, wrong, one), wrong)
})

t.test('hash, then verify → true; verify of another password → false', async (t) => {
  const password = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100 })
  await fc.assert(fc.asyncProperty(password, password, async (one, other) => {
    fc.pre(one.normalize('NFC') !== other.normalize('NFC'))
    const stored = await shared.hash(one)
    return await matches(shared, one, stored) && !await matches(shared, other, stored)
  }), { numRuns: 15 })
  t.pass('for 15 pairs of passwords')
})

t.test('every character counts: after 72 bytes, after a NUL, in spaces; only the Unicode form does not', async (t) => {
  const long = 'x'.repeat(72)
  const longest = '🔑'.repeat(1023)
  const pairs = [[`${long}a`, `${long}b`], [`${longest}a`, `${longest}b`], ['null\0one', 'null\0two'], ['null\0', 'null'], ['spaces', 'spaces '], ['\ufb01sh', 'fish'], ['PASSWORD', 'password']] as const
  for (const [one, other] of pairs) {
    const stored = await shared.hash(one)
    t.strictSame([await matches(shared, one, stored), await matches(shared, other, stored)], [true, false], JSON.stringify(one.slice(-8)))
  }
  t.ok(await matches(shared, 'cafe\u0301', await shared.hash('caf\u00e9')), 'composed or not')
  t.ok(await matches(shared, 'caf\u00e9', await shared.hash('cafe\u0301')), 'composed or not')
})

t.test('a lone surrogate, which has no UTF-8 form of its own, matches nothing', async (t) => {
  const stored = await shared.hash('\ufffd and more')
  t.ok(await matches(shared, '\ufffd and more', stored))
  for (const lone of ['\ud800 and more', '\udfff and more']) {
    t.notOk(await matches(shared, lone, stored))
    t.notOk(await matches(shared, lone, await shared.hash(lone)))
  }
})

t.test('a hash of another cost or key matches and is outdated; of a key that is gone it matches nothing', async (t) => {
  const under = (env: NodeJS.ProcessEnv) => create(t, env)
  const first = under({ LATCHKEY_PASSWORD_PEPPER: peppers[0] })
  const second = under({ LATCHKEY_PASSWORD_PEPPER: peppers[1], LATCHKEY_PASSWORD_PEPPER_FALLBACKS: peppers[0] })
  const costly = under({ LATCHKEY_BCRYPT_COST: '6' })
  const [plain, old, current, six] = [await shared.hash(PASSWORD), await first.hash(PASSWORD), await second.hash(PASSWORD), await costly.hash(PASSWORD)]

  t.match(await second.verify(PASSWORD, current), { matches: true, outdated: false })
  t.match(await second.verify(PASSWORD, old), { matches: true, outdated: true }, 'a fallback')
  t.match(await second.verify(PASSWORD, plain), { matches: true, outdated: true }, 'from before there was a pepper')
  t.match(await costly.verify(PASSWORD, plain), { matches: true, outdated: true }, 'a lower cost')
  t.match(await shared.verify(PASSWORD, six), { matches: true, outdated: true }, 'a higher cost')
  t.match(await costly.verify(PASSWORD, six), { matches: true, outdated: false })
  for (const stored of [old, plain]) t.notOk(await matches(second, 'wrong password', stored))

  t.notOk(await matches(first, PASSWORD, current))
  t.notOk(await matches(shared, PASSWORD, current))
  t.notOk(await matches(second, PASSWORD, plain.replace('builtin', current.split('$')[1] ?? '')), 'the name of another key')
})

t.test('no hash, or a damaged one, matches nothing, and takes as long as a good one', async (t) => {
  const passwords = create(t, { LATCHKEY_BCRYPT_COST: '8' })
  const good = await passwords.hash(PASSWORD)
  const [, key = '', , rest = ''] = good.split('$')
  const damaged = [
    undefined, '', '!', `!${good}`, `${good}x`, good.slice(0, -1), good.replaceAll('$', '_'), `\n${good}`, `${good}\n`,
    `bcrypt$${key}$08$${rest}`, `bcrypt_hmac_sha384$unknown$08$${rest}`, `bcrypt_hmac_sha384$__proto__$08$${rest}`,
    `bcrypt_hmac_sha384$${key}$03$${rest}`, `bcrypt_hmac_sha384$${key}$16$${rest}`, `bcrypt_hmac_sha384$${key}$99$${rest}`, `bcrypt_hmac_sha384$${key}$8$${rest}`,
    `bcrypt_hmac_sha384$${key}$08$${'.'.repeat(53)}`, `$2b$08$${rest}`
  ]
  const quickest = { damaged: Infinity, good: Infinity }
  for (const stored of damaged) {
    const { matches, took } = await passwords.verify(PASSWORD, stored)
    t.notOk(matches, String(stored))
    quickest.damaged = Math.min(quickest.damaged, took)
    quickest.good = Math.min(quickest.good, (await passwords.verify(PASSWORD, good)).took)
  }
  t.ok(quickest.damaged > 0.6 * quickest.good, `${quickest.damaged} ms at least, a good one ${quickest.good} ms`)
})

t.test('places in the queue: all for others, three quarters of them for logins, and each comes back', async (t) => {
  for (const { threads, queue, logins, all } of [{ threads: 2, queue: 4, logins: 5, all: 6 }, { threads: 1, queue: 1, logins: 2, all: 2 }, { threads: 3, queue: 32, logins: 27, all: 35 }]) {
    const { reserve } = create(t, { LATCHKEY_HASH_THREADS: String(threads), LATCHKEY_HASH_QUEUE: String(queue) })
    const take = (purpose: 'login' | 'other') => {
      const taken = []
      for (let slot = reserve(purpose); slot; slot = reserve(purpose)) taken.push(slot)
      return taken
    }
    const first = take('login')
    t.equal(first.length, logins)
    const rest = take('other')
    t.equal(first.length + rest.length, all)

    for (const slot of rest) slot.release()
    t.equal(reserve('login'), undefined, 'the last quarter is not theirs')
    first.pop()?.release()
    first.push(...take('login'))
    t.equal(first.length, logins)
    for (const slot of first) slot.release()
    t.equal(take('other').length, all)
  }
})

t.test('threads start with the first hash, no more than LATCHKEY_HASH_THREADS, stay for the next, and end on close', async (t) => {
  const threads = countThreads(t)
  const passwords = create(t, { LATCHKEY_HASH_THREADS: '3' })
  passwords.reserve('login')?.release()
  t.equal(threads.started, 0)
  for (let round = 0; round < 3; round++) {
    const stored = await Promise.all(Array.from({ length: 12 }, () => passwords.hash(PASSWORD)))
    t.equal(new Set(stored).size, 12)
    // Time in which a thread that had nothing to do would end.
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.strictSame(threads, { started: 3, ended: 0 })
  await passwords.close()
  t.strictSame(threads, { started: 3, ended: 3 })
  await t.rejects(passwords.hash(PASSWORD), { message: 'the hashing threads have been stopped' })
  t.equal(threads.started, 3)
})

t.test('an application starts its threads with the first password, and ends them on close', async (t) => {
  const threads = countThreads(t)
  const app = await build(t, { env: { LATCHKEY_HASH_THREADS: '1' } })
  await app.inject('/private')
  t.equal(threads.started, 0)
  await register(app)
  await login(app)
  t.strictSame(threads, { started: 1, ended: 0 })
  await app.close()
  t.strictSame(threads, { started: 1, ended: 1 })

  const unused = await build(t)
  await unused.close()
  t.equal(threads.started, 1)
})

t.test('POST /login while its hashing thread dies → 503 unavailable; the login beside it → 200, and the next one too, for nothing counts as a failure', async (t) => {
  const app = await build(t, { env: { LATCHKEY_HASH_THREADS: '2', LATCHKEY_BCRYPT_COST: '11' } })
  const started = once(process, 'worker')
  await register(app)
  const [dying]: Worker[] = await started
  const logins = [tryLogin(app, 'ada'), tryLogin(app, 'ada')]
  await eventually(async () => app.passwords.places() === 2)
  await dying?.terminate()
  const [one, other] = (await Promise.all(logins)).toSorted((a, b) => a.statusCode - b.statusCode)
  if (one === undefined || other === undefined) throw new Error('two logins')
  t.equal(one.statusCode, 200)
  isProblem(t, other, 'unavailable')
  t.equal(app.passwords.places(), 0)
  t.equal((await tryLogin(app, 'ada')).statusCode, 200)
  const { access_token: token } = one.json()
  t.equal((await getPrivate(app, token)).statusCode, 200)
})

t.test('a hash while no thread can start → Unavailable, for all that wait; when one can again → a hash', async (t) => {
  const passwords = create(t, { LATCHKEY_HASH_THREADS: '2' })
  const { NODE_OPTIONS: before = '' } = process.env
  t.teardown(() => { process.env['NODE_OPTIONS'] = before })
  // What a thread is to load first, and cannot.
  process.env['NODE_OPTIONS'] = '--require=/nowhere/nothing.cjs'
  for (const count of [1, 2, 5]) {
    const failing = await Promise.allSettled(Array.from({ length: count }, () => passwords.hash(PASSWORD)))
    t.strictSame(failing.map((one) => one.status === 'rejected' && one.reason.message), Array(count).fill('a hashing thread is unavailable'))
  }
  process.env['NODE_OPTIONS'] = before
  t.ok(await matches(passwords, PASSWORD, await passwords.hash(PASSWORD)))
})

t.test('hashing does not hold up the event loop', async (t) => {
  const passwords = create(t, { LATCHKEY_BCRYPT_COST: '12' })
  const stored = await passwords.hash('warm')
  let took = 0
  const pause = await longestPause(async () => { took = (await passwords.verify('wrong', stored)).took })
  t.ok(pause < took / 2, `it stood still for ${Math.round(pause)} ms while a comparison took ${Math.round(took)} ms`)
})

/** Whether a promise is settled before anything that the event loop could wait for. */
async function atOnce (promise: Promise<void>) {
  return await Promise.race([promise.then(() => true), new Promise((resolve) => setImmediate(resolve, false))])
}

t.test('a failure waits until 1.3 times the cost of today\'s hash has passed, and no longer', async (t) => {
  const passwords = create(t, { LATCHKEY_BCRYPT_COST: '9' })
  const verdict = await passwords.verify('wrong', undefined)
  const cost = verdict.took
  const wait = (spent: number) => passwords.evenOut({ ...verdict, took: spent })
  // A timer of Node's counts whole milliseconds.
  t.ok(await took(() => wait(0)) >= 1.3 * cost - 2)
  t.ok(await took(() => wait(cost)) >= 0.3 * cost - 2)
  t.ok(await atOnce(wait(1.3 * cost)), 'what has taken as long waits no more')
})

t.test('a failure for a cheap old hash, of ours or of another system, takes as long as one for today\'s', async (t) => {
  const passwords = create(t, { LATCHKEY_BCRYPT_COST: '9' })
  const today = await passwords.hash(PASSWORD)
  const failing = (stored: string) => async () => await passwords.evenOut(await passwords.verify('wrong', stored))
  for (const old of [await shared.hash(PASSWORD), `pbkdf2_sha256$1$salt$${'A'.repeat(43)}=`]) {
    const [cheap, costly] = await shortest(failing(old), failing(today))
    t.ok(cheap > 0.6 * costly, `${cheap} ms and ${costly} ms`)
  }
})

t.test('before there was a comparison at today\'s cost a failure measures one, once', async (t) => {
  const env = { LATCHKEY_BCRYPT_COST: '9' }
  const [passwords, other] = [create(t, env), create(t, env)]
  const costs: number[] = []
  const measure = async () => { for (let round = 0; round < 3; round++) costs.push((await other.verify('wrong', undefined)).took) }
  await measure()
  const verdict = await passwords.verify('wrong', await shared.hash(PASSWORD))
  const first = await took(() => passwords.evenOut(verdict))
  await measure()
  t.ok(first > 1.2 * Math.min(...costs), `${first} ms: a comparison, which takes ${Math.min(...costs)} ms, and the wait`)
  t.ok(await atOnce(passwords.evenOut({ ...verdict, took: Infinity })), 'no second one')
})

t.test('a hashing thread hashes at a cost and compares with a hash', async (t) => {
  const { result, took } = await work({ text: 'text', cost: 4 })
  t.match(result, /^\$2b\$04\$[./A-Za-z0-9]{53}$/)
  t.ok(took > 0)
  t.match(await work({ text: 'text', hash: String(result) }), { result: true, took: Number })
  t.match(await work({ text: 'another', hash: String(result) }), { result: false, took: Number })
})
