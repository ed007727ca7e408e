import rateLimitPlugin, { type FastifyRateLimitOptions, normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { createFirsts, limitNames, type LimitName, type RateLimits } from '../src/rate-limits.ts'
import { connectRedis, withFallback } from '../src/shared-counters.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Which limit holds for the route; `none` for what load balancers ask. */
    limit?: LimitName | 'none'
  }

  interface FastifyRequest {
    /** The client's address as it is counted: an IPv4 address, or the /64 of an IPv6 one. */
    addressBlock: string
  }
}

interface Options {
  limits: RateLimits | undefined
  /** Where all replicas count together; without it each counts its own. */
  redisUrl: string | undefined
}

type Counter = ReturnType<FastifyInstance['createRateLimit']>
type Figures = Extract<Awaited<ReturnType<Counter>>, { isAllowed: false }>
type Counters = Record<LimitName, (request: FastifyRequest) => Promise<Figures>>

/** Begins every key in Redis. */
const KEYS = 'latchkey:'

/** Counts requests by address block, before anything else is done for them. Register it before the hooks it is to precede. */
async function rateLimit (app: FastifyInstance, { limits, redisUrl }: Options) {
  app.decorateRequest('addressBlock', { getter (this: FastifyRequest) { return normalizeIP(this.ip) } })
  if (limits === undefined) return

  const local = await createCounters(app, limits)
  const countHere = (name: LimitName, request: FastifyRequest) => local[name](request)
  const counted = redisUrl === undefined ? countHere : await countTogether(redisUrl, limits)
  const isFirst = createFirsts()

  app.addHook('onRequest', async (request, reply) => {
    const { limit = 'default' } = request.routeOptions.config
    return limit === 'none' ? undefined : await count(limit, request, reply)
  })

  /** Limits never go away with Redis: each replica then counts its own. */
  async function countTogether (url: string, limits: RateLimits) {
    const { redis, fault } = await connectRedis(url)
    app.addHook('onClose', async () => redis.disconnect())
    const shared = await createCounters(app, limits, { redis, nameSpace: KEYS })
    return withFallback((name: LimitName, request: FastifyRequest) => shared[name](request), countHere, (error) => error === undefined
      ? app.log.info('requests are counted in Redis again')
      : app.log.warn({ err: error }, 'Redis does not answer: this replica counts requests by itself'), fault)
  }

  async function count (name: LimitName, request: FastifyRequest, reply: FastifyReply) {
    const { key, max, remaining, ttl, ttlInSeconds, isExceeded } = await counted(name, request)
    reply.header('ratelimit-limit', max).header('ratelimit-remaining', remaining).header('ratelimit-reset', ttlInSeconds)
    if (!isExceeded) return
    app.metrics?.rateLimited.inc({ limit: name })
    if (isFirst(key, ttl, performance.now())) await request.audit('excess_rate_limit_exceeded', { details: { limit: name } })
    return reply.header('retry-after', ttlInSeconds).problem('too_many_requests')
  }
}

/**
 * The library knows one place to count in for each scope, and so each place gets scopes of its own; one for each limit, as a counter with
 * options of its own would have a route in its keys, which are those of no route.
 */
async function createCounters (app: FastifyInstance, limits: RateLimits, place: FastifyRateLimitOptions = {}): Promise<Counters> {
  const counters: Partial<Counters> = {}
  for (const name of limitNames) {
    await app.register(async (scope) => {
      const keyGenerator = ({ addressBlock }: FastifyRequest) => `${name} ${addressBlock}`
      await scope.register(rateLimitPlugin, { global: false, max: limits[name].max, timeWindow: limits[name].window, keyGenerator, ...place })
      // Only an allow list, which we have not, gives a verdict without figures.
      counters[name] = scope.createRateLimit() as Counters[LimitName]
    })
  }
  // Every name is there now.
  return counters as Counters
}

export default fp(rateLimit, { fastify: '5.x', name: 'rate-limit', dependencies: ['errors', 'metrics'] })
