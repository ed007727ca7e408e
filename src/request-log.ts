import { type FastifyReply, type FastifyRequest, LogController } from 'fastify'

/**
 * One line a request, when it has been answered or its client has gone.
 * The path alone: tokens are sent in the query by mistake, and passwords before the host where a whole URL is asked for (RFC 9112 §3.2.2).
 */
export class RequestLog extends LogController {
  override incomingRequest (request: FastifyRequest, reply: FastifyReply) {
    const { method, url, ip } = request
    const [path] = url.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/)
    // Fastify completes neither a request whose client hangs up nor one whose path it refuses; both close.
    reply.raw.once('close', () => {
      reply.log.info({
        method,
        path,
        ...(reply.raw.writableFinished ? { status: reply.statusCode } : { gone: true }),
        ms: Math.round(reply.elapsedTime * 10) / 10,
        ip
      }, 'request')
    })
  }

  override requestCompleted () {}
}
