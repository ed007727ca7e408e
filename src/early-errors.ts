import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { catalogue, type Code, problem, PROBLEM_TYPE } from './errors.ts'
import type { RequestLog } from './request-log.ts'

/** The route, for the metrics, of what cannot be read. */
const UNREAD = 'unparsed'
/** And of what names nothing. */
export const NO_ROUTE = 'none'

const codesByError: Record<string, Code> = { HPE_HEADER_OVERFLOW: 'headers_too_large', ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout' }

/** For so long a client may read its refusal (ms). One that never ends its own side would keep the connection for good. */
const LINGER = 1_000

/** Answers what Node's HTTP parser refuses, which never becomes a request: in the form of any other problem, then the connection ends. */
export function createClientErrorAnswer (requestLog: RequestLog) {
  return function answerClientError (this: FastifyInstance, error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    const code = codesByError[String(error.code)] ?? 'invalid_request'
    const { status } = catalogue[code]
    this.metrics?.requests.inc({ method: 'none', route: UNREAD, status })
    socket.end(answer(code, requestLog.refused(this.log, socket, { status, code: error.code })))
    setTimeout(() => socket.destroy(), LINGER).unref()
  }
}

function answer (code: Code, requestId: string): string {
  const { status } = catalogue[code]
  const body = JSON.stringify(problem(code, requestId))
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    `X-Request-Id: ${requestId}`,
    'X-Content-Type-Options: nosniff',
    'Connection: close',
    '',
    body
  ].join('\r\n')
}

/**
 * Answers what the router refuses before there is a request: such replies lack our decorators.
 * A path that cannot be decoded is a bad request; one with an overlong parameter names nothing.
 */
export function answerRouterError ({ code }: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const unread = code === 'FST_ERR_BAD_URL'
  const body = problem(unread ? 'invalid_request' : 'not_found', request.id)
  request.server.metrics?.requests.inc({ method: request.method, route: unread ? UNREAD : NO_ROUTE, status: body.status })
  reply.code(body.status).headers({ 'cache-control': 'no-store', 'x-request-id': request.id, 'x-content-type-options': 'nosniff' }).type(PROBLEM_TYPE).send(JSON.stringify(body))
}
