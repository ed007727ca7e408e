import { type FastifyBaseLogger, type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { requestPath } from './request-path.ts'

/** What Node's parser did not take; `code` is Node's own name for the fault. Of what was sent, there is nothing in it. */
interface Refusal {
  status: number
  code: string | undefined
}

interface Underway {
  request: FastifyRequest
  reply: FastifyReply
  refusal?: Refusal
}

/**
 * One line a request, when it has been answered or its client has gone.
 * The path alone: tokens are sent in the query by mistake, and passwords before the host where a whole URL is asked for.
 */
export class RequestLog extends LogController {
  /** The last request of each connection, while it is under way. */
  readonly #last = new WeakMap<Socket, Underway>()

  override incomingRequest (request: FastifyRequest, reply: FastifyReply) {
    const { method, url, raw: { socket } } = request
    const path = requestPath(url)
    const underway = { request, reply }
    this.#last.set(socket, underway)
    // Fastify completes neither a request whose client hangs up nor one whose path it refuses; both close.
    reply.raw.once('close', () => {
      // A connection may last for hours, and the body has a password in it.
      if (this.#last.get(socket) === underway) this.#last.delete(socket)
      reply.log.info({ method, path, ...end(underway), ms: Math.round(reply.elapsedTime * 10) / 10, ip: request.ip }, 'request')
    })
  }

  override requestCompleted () {}

  /**
   * What was refused has its line too: that of its request where the body broke off, else one of its own, without a method and a path.
   * @returns the id that the line has
   */
  refused (log: FastifyBaseLogger, socket: Socket, refusal: Refusal): string {
    const last = this.#last.get(socket)
    if (last && !last.request.raw.complete && !last.reply.raw.writableEnded) {
      last.refusal = refusal
      return last.request.id
    }
    const reqId = randomUUID()
    log.info({ reqId, ...refusal, ip: socket.remoteAddress }, 'request')
    return reqId
  }
}

function end ({ reply: { raw, statusCode }, refusal }: Underway): Refusal | { status: number } | { gone: true } {
  return raw.writableFinished ? { status: statusCode } : refusal ?? { gone: true }
}
