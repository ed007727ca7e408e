import rateLimitPlugin, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { limitNames, type LimitName, type RateLimits } from '../src/rate-limits.ts'

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

/** Of more addresses than that, one may be told twice. */
const MOST_REMEMBERED = 10_000

/** Counts requests by address block, before anything else is done for them. Register it before the hooks it is to precede. */
async function rateLimit (app: FastifyInstance, { limits }: { limits: RateLimits | undefined }) {
  app.decorateRequest('addressBlock', { getter (this: FastifyRequest) { return normalizeIP(this.ip) } })
  if (limits === undefined) return

  await app.register(rateLimitPlugin, { global: false })
  const counters = Object.fromEntries(limitNames.map((name) => [name, app.createRateLimit({
    max: limits[name].max,
    timeWindow: limits[name].window,
    keyGenerator: ({ addressBlock }) => `${name} ${addressBlock}`
  })]))
  /** When the windows end whose excess has been recorded: an event for each request of a flood would be a flood of its own. */
  const recorded = new Map<string, number>()

  app.addHook('onRequest', async (request, reply) => {
    const { limit = 'default' } = request.routeOptions.config
    return limit === 'none' ? undefined : await count(limit, request, reply)
  })

  async function count (name: LimitName, request: FastifyRequest, reply: FastifyReply) {
    const counted = await counters[name]?.(request)
    // Only an allow list, which we have not, gives a verdict without figures.
    if (counted === undefined || counted.isAllowed) return
    const { key, max, remaining, ttl, ttlInSeconds, isExceeded } = counted
    reply.header('ratelimit-limit', max).header('ratelimit-remaining', remaining).header('ratelimit-reset', ttlInSeconds)
    if (!isExceeded) return
    app.metrics?.rateLimited.inc({ limit: name })
    await record(request, { key, ttl, name })
    return reply.header('retry-after', ttlInSeconds).problem('too_many_requests')
  }

  async function record (request: FastifyRequest, { key, ttl, name }: { key: string, ttl: number, name: LimitName }) {
    if ((recorded.get(key) ?? 0) > performance.now()) return
    if (recorded.size >= MOST_REMEMBERED) recorded.clear()
    recorded.set(key, performance.now() + ttl)
    await request.audit('excess_rate_limit_exceeded', { details: { limit: name } })
  }
}

export default fp(rateLimit, { fastify: '5.x', name: 'rate-limit', dependencies: ['errors', 'metrics'] })
