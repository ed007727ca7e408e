import corsPlugin, { type FastifyCorsOptions } from '@fastify/cors'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

/** For how long a browser may keep the answer to a preflight (s). */
const PREFLIGHT_KEPT_S = 600

/** Lets pages of the allowed origins, and of no other, read our answers. Without any it is off: no header, no preflight. */
async function cors (app: FastifyInstance, { origins }: { origins: string[] }) {
  if (origins.length === 0) return
  const options: FastifyCorsOptions = {
    origin: origins,
    credentials: true,
    methods: ['GET', 'HEAD', 'POST', 'DELETE'],
    allowedHeaders: ['Authorization', 'Content-Type'],
    exposedHeaders: ['Retry-After', 'RateLimit-Limit', 'RateLimit-Remaining', 'RateLimit-Reset', 'WWW-Authenticate', 'X-Request-Id'],
    maxAge: PREFLIGHT_KEPT_S
  }
  // Any other OPTIONS request is refused like a method that we do not know (`plugins/not-found.ts`).
  const withoutPreflight = { ...options, preflight: false }
  await app.register(corsPlugin, { delegator: async (request: FastifyRequest) => isPreflight(request) ? options : withoutPreflight })
}

/** What browsers send with it (Fetch §4.8). */
function isPreflight ({ headers }: FastifyRequest): boolean {
  return headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}

export default fp(cors, { fastify: '5.x', name: 'cors' })
