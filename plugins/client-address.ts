import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { forwardedAddresses } from '../src/forwarded-for.ts'

/** Sees to it that `request.ip` is an address, which everything counts and records by. Register it before whatever asks for it. */
async function clientAddress (app: FastifyInstance) {
  app.addHook('onRequest', async (request, reply) => {
    const { headers, socket } = request.raw
    // Who hung up at once has no address any more, would be counted nowhere, and waits for no answer.
    if (socket.remoteAddress === undefined) {
      socket.destroy()
      return reply.hijack()
    }
    const forwarded = headers['x-forwarded-for']
    // Node joins what was sent several times, so it is no list.
    if (forwarded !== undefined) headers['x-forwarded-for'] = forwardedAddresses(String(forwarded))
    return undefined
  })
}

export default fp(clientAddress, { fastify: '5.x', name: 'client-address' })
