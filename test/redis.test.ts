import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import errors from '../plugins/errors.ts'
import metrics from '../plugins/metrics.ts'
import rateLimit from '../plugins/rate-limit.ts'
import { loadConfig } from '../src/config.ts'
import { build, newAddress } from './fixtures/app.ts'
import { eventually, isProblem, took } from './fixtures/accounts.ts'
import { freePort } from './fixtures/process.ts'
import { redisServer, withRedis } from './fixtures/redis.ts'
import { captureLog } from './fixtures/refresh.ts'
import { times } from './fixtures/sockets.ts'
import { adjustableClocks } from './fixtures/timers.ts'

const MOST = 4
const PAUSE = 1_000
const AWAY = 'Redis does not answer: this replica counts requests by itself'
const BACK = 'requests are counted in Redis again'

const env = (url: string) => ({ REDIS_URL: url, LATCHKEY_RATE_LIMIT: `login=${MOST}/1m` })
/** Costs as little as possible; it is refused, and counts all the same. */
const attempt = (app: FastifyInstance, remoteAddress: string) => app.inject({ method: 'POST', url: '/login', remoteAddress })

/** The statuses of attempts from an address, one more than it may make, by turns at these. */
async function exhaust (apps: FastifyInstance[], from = newAddress()): Promise<number[]> {
  const found: number[] = []
  for (let i = 0; i <= MOST; i++) {
    const app = apps[i % apps.length]
    if (app) found.push((await attempt(app, from)).statusCode)
  }
  return found
}

const limited = [...times(MOST, () => 400), 429]
const told = (lines: Record<string, unknown>[]) => lines.map(({ msg }) => msg).filter((msg) => msg === AWAY || msg === BACK)

t.test('POST /login at two replicas with one Redis → they share a limit: 429 at both, with the same Retry-After', withRedis, async (t) => {
  const { url } = await redisServer(t)
  const apps = [await build(t, { env: env(url) }), await build(t, { env: env(url) })]
  const from = newAddress()
  t.strictSame(await exhaust(apps, from), limited)
  for (const app of apps) {
    const response = await attempt(app, from)
    isProblem(t, response, 'too_many_requests')
    t.match(response.headers, { 'ratelimit-limit': String(MOST), 'ratelimit-remaining': '0', 'retry-after': /^([1-9]|[1-5]\d|60)$/ })
    t.notOk((await attempt(app, newAddress())).statusCode === 429)
  }
})

t.test('the keys in Redis say whose they are, which limit they count for and which address', withRedis, async (t) => {
  const { url } = await redisServer(t)
  const app = await build(t, { env: env(url) })
  await attempt(app, '203.0.113.7')
  await app.inject({ url: '/private', remoteAddress: '2001:db8::1' })
  const redis = new Redis(url)
  t.teardown(() => redis.disconnect())
  t.strictSame((await redis.keys('*')).sort(), ['latchkey:default 2001:db8::', 'latchkey:login 203.0.113.7'])
  for (const key of await redis.keys('*')) t.ok(await redis.pttl(key) > 0, `${key} goes away by itself`)
})

t.test('POST /login while Redis is gone → the limit of each replica: 429, never none and never 5xx; one warning; when Redis is back, one line', withRedis, async (t) => {
  const { url, start, stop } = await redisServer(t)
  const apps = [await build(t, { env: env(url) }), await build(t, { env: env(url) })] as const
  const [one, other] = apps
  const lines = captureLog(t, one, 'info')
  t.strictSame(await exhaust([...apps]), limited)
  const putForward = adjustableClocks(t)

  await stop()
  const from = newAddress()
  t.strictSame(await exhaust([one], from), limited)
  t.strictSame(await exhaust([other], from), limited)
  putForward(PAUSE)
  t.equal((await attempt(one, from)).statusCode, 429, 'a second later it is asked again, in vain')
  t.strictSame(told(lines), [AWAY])

  await start()
  await eventually(async () => {
    putForward(PAUSE)
    for (const app of apps) await attempt(app, newAddress())
    return told(lines).includes(BACK)
  })
  await eventually(async () => {
    putForward(PAUSE)
    const fresh = newAddress()
    return String(await exhaust([...apps], fresh)) === String(limited)
  })
  t.strictSame(told(lines), [AWAY, BACK])
})

t.test('POST /login while Redis hangs → 400 and 429 after a moment, by the limit of the replica', withRedis, async (t) => {
  const { url, signal } = await redisServer(t)
  const app = await build(t, { env: env(url) })
  const lines = captureLog(t, app, 'info')
  signal('SIGSTOP')
  let statuses: number[] = []
  const time = await took(async () => { statuses = await exhaust([app]) })
  signal('SIGCONT')
  t.strictSame(statuses, limited)
  t.ok(time < 5_000, `${time} ms`)
  t.strictSame(told(lines), [AWAY])
})

/** A service whose Redis is of no use limits by itself, and says what `expected` says, without the password. */
async function countsByItself (t: Test, url: string, expected: string[]) {
  const app = await build(t, { env: env(url) })
  const lines = captureLog(t, app, 'info')
  t.strictSame(await exhaust([app]), limited)
  t.strictSame(told(lines), expected)
  t.notMatch(JSON.stringify(lines), /sentinel/)
  t.equal((await app.inject('/readyz')).statusCode, 200)
}

t.test('POST /login of a service that was started without its Redis → it starts, and limits by itself: 429; it said so at the start', async (t) => {
  await countsByItself(t, `redis://:sentinel@127.0.0.1:${await freePort()}`, [])
})

t.test('POST /login of a service with a wrong password for Redis → it limits by itself: 429, and logs no password', withRedis, async (t) => {
  const { port } = await redisServer(t, '--requirepass', 'right')
  await countsByItself(t, `redis://:sentinel@127.0.0.1:${port}`, [])
})

t.test('POST /login while Redis can write no more → it limits by itself: 429, and says so', withRedis, async (t) => {
  const { url } = await redisServer(t, '--maxmemory', '1')
  await countsByItself(t, url, [AWAY])
})

/** A service that does nothing but count, and its log from the start. */
async function counting (t: Test, redisUrl: string) {
  const app = Fastify({ logger: { level: 'silent' } })
  t.teardown(() => app.close())
  const lines = captureLog(t, app)
  await app.register(metrics, { address: undefined })
  await app.register(errors)
  await app.register(rateLimit, { limits: loadConfig({ LATCHKEY_RATE_LIMIT: 'default=2/1m' }).rateLimit, redisUrl })
  app.decorateRequest('audit', async () => {})
  app.get('/', async () => 'here')
  return { lines, statuses: async () => [(await app.inject('/')).statusCode, (await app.inject('/')).statusCode, (await app.inject('/')).statusCode] }
}

t.test('a Redis that does not answer → the log says so once, at the start, with the cause, and the limits hold all the same: 429', async (t) => {
  const { lines, statuses } = await counting(t, `redis://:sentinel@127.0.0.1:${await freePort()}`)
  const told = [{ level: 40, msg: AWAY, err: { message: /^connect ECONNREFUSED 127\.0\.0\.1:\d+$/ } }]
  t.match(lines, told)
  t.strictSame(await statuses(), [200, 200, 429])
  t.match(lines, told)
  t.equal(lines.length, 1)
})

t.test('a Redis that refuses the password → the log says so at the start, without it', withRedis, async (t) => {
  const { port } = await redisServer(t, '--requirepass', 'right')
  const { lines, statuses } = await counting(t, `redis://:sentinel@127.0.0.1:${port}`)
  t.strictSame(await statuses(), [200, 200, 429])
  t.match(lines, [{ level: 40, err: { message: /^WRONGPASS / } }])
  t.equal(lines.length, 1)
  t.notMatch(JSON.stringify(lines), /sentinel/)
})

t.test('a Redis that comes after the service → it is counted in, which is told', withRedis, async (t) => {
  const { url, start, stop } = await redisServer(t)
  await stop()
  const app = await build(t, { env: env(url) })
  const lines = captureLog(t, app, 'info')
  const putForward = adjustableClocks(t)
  await start()
  await eventually(async () => {
    putForward(PAUSE)
    await attempt(app, newAddress())
    return told(lines).length > 0
  })
  t.strictSame(told(lines), [BACK])
})
