import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { once } from 'node:events'
import type { Socket } from 'node:net'

/** So many requests of a connection may wait. Hardly any client sends more than one ahead. */
const MOST_WAITING = 10

interface Line {
  /** The last one that was let in. */
  last: FastifyReply
  waiting: number
  ending: boolean
}

/**
 * The requests of a connection one after the other. What was sent behind a request Node hands over at once, and keeps each answer until those
 * before it are read: one packet with a thousand requests would cost gigabytes where nobody reads, and what a kept answer holds, such as an
 * open file, is never let go when the client leaves. So each waits for the answer before it; beyond a few the connection ends after theirs,
 * which who sends ahead has to be ready for (RFC 9112 §9.3.2). Register it before all other hooks.
 */
async function pipelining (app: FastifyInstance) {
  const lines = new WeakMap<Socket, Line>()

  app.addHook('onRequest', async (request, reply) => {
    const { socket } = request.raw
    const line = lines.get(socket)
    // What the router refuses is in no line: it is answered before any hook.
    if (line === undefined) {
      lines.set(socket, { last: reply, waiting: 0, ending: false })
      return undefined
    }
    // An answer has no socket until those before it are sent.
    if (reply.raw.socket !== null) {
      line.last = reply
      return undefined
    }
    return line.waiting < MOST_WAITING ? await wait(line, reply, socket) : refuse(line, reply, socket)
  })

  async function wait (line: Line, reply: FastifyReply, socket: Socket) {
    const before = line.last
    line.last = reply
    line.waiting += 1
    await once(before.raw, 'close')
    line.waiting -= 1
    return socket.destroyed ? reply.hijack() : undefined
  }

  function refuse (line: Line, reply: FastifyReply, socket: Socket) {
    if (!line.ending) {
      line.ending = true
      reply.log.info({ ip: socket.remoteAddress }, 'too many requests were sent ahead: the connection ends')
      line.last.header('connection', 'close').raw.once('finish', () => socket.destroySoon())
    }
    // Newer versions of Node tell of each in the end that it is closed: a thousand lines of the log for one packet.
    reply.raw.removeAllListeners('close')
    return reply.hijack()
  }
}

export default fp(pipelining, { fastify: '5.x', name: 'pipelining' })
