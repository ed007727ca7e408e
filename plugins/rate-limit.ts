import rateLimitPlugin, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { createFirsts, limitNames, type LimitName, type RateLimits } from '../src/rate-limits.ts'

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

/** Of more addresses than that, an excess may be recorded twice. */
const MOST_REMEMBERED = 10_000

type Verdict = Awaited<ReturnType<ReturnType<FastifyInstance['createRateLimit']>>>
type Figures = Extract<Verdict, { isAllowed: false }>

/** Counts requests by address block, before anything else is done for them. Register it before the hooks it is to precede. */
async function rateLimit (app: FastifyInstance, { limits }: { limits: RateLimits | undefined }) {
  app.decorateRequest('addressBlock', { getter (this: FastifyRequest) { return normalizeIP(this.ip) } })
  if (limits === undefined) return

  await app.register(rateLimitPlugin, { global: false })
  const counters = new Map(limitNames.map((name) => [name, app.createRateLimit({
    max: limits[name].max,
    timeWindow: limits[name].window,
    keyGenerator: ({ addressBlock }) => `${name} ${addressBlock}`
  })]))
  const isFirst = createFirsts(MOST_REMEMBERED)

  app.addHook('onRequest', async (request, reply) => {
    const { limit = 'default' } = request.routeOptions.config
    return limit === 'none' ? undefined : await count(limit, request, reply)
  })

  async function count (name: LimitName, request: FastifyRequest, reply: FastifyReply) {
    // Every name has its counter, and only an allow list, which we have not, gives a verdict without figures.
    const { key, max, remaining, ttl, ttlInSeconds, isExceeded } = await counters.get(name)?.(request) as Figures
    reply.header('ratelimit-limit', max).header('ratelimit-remaining', remaining).header('ratelimit-reset', ttlInSeconds)
    if (!isExceeded) return
    app.metrics?.rateLimited.inc({ limit: name })
    if (isFirst(key, ttl, performance.now())) await request.audit('excess_rate_limit_exceeded', { details: { limit: name } })
    return reply.header('retry-after', ttlInSeconds).problem('too_many_requests')
  }
}

export default fp(rateLimit, { fastify: '5.x', name: 'rate-limit', dependencies: ['errors', 'metrics'] })
