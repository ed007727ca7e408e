import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether new work should go elsewhere. */
    isClosing: () => boolean
    /** From now on the service is not ready, and every answer asks its client to connect anew. */
    beginClosing: () => void
  }
}

/**
 * Lets the service stop although clients keep their connections: first it only says so, and they go elsewhere; then it closes.
 * Fastify ends the idle connections, but waits for one that was busy until its keep-alive time is over (fastify/fastify#7044),
 * and for one on which no whole request has come.
 * @param grace milliseconds after which whatever is left is ended
 */
async function closing (app: FastifyInstance, { grace }: { grace: number }) {
  let begun = false
  app.decorate('isClosing', () => begun)
  app.decorate('beginClosing', () => { begun = true })
  app.addHook('preClose', async () => {
    begun = true
    setTimeout(() => app.server.closeAllConnections(), grace).unref()
  })
  app.addHook('onSend', async (_request, reply) => {
    if (begun) reply.header('connection', 'close')
  })
}

export default fp(closing, { fastify: '5.x', name: 'closing' })
