import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Every answer names its line of the log, one that went well too. */
async function requestId (app: FastifyInstance) {
  app.addHook('onRequest', async ({ id }, reply) => { reply.header('x-request-id', id) })
}

export default fp(requestId, { fastify: '5.x', name: 'request-id' })
