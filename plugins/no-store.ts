import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Nothing here may be kept by a cache (RFC 6749 §5.1), errors included; a route that publishes says otherwise itself. */
async function noStore (app: FastifyInstance) {
  app.addHook('onRequest', async (_request, reply) => { reply.header('cache-control', 'no-store') })
}

export default fp(noStore, { fastify: '5.x', name: 'no-store' })
