import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { catalogue, type Code, problem, PROBLEM_TYPE } from './errors.ts'

const codesByError: Record<string, Code> = { HPE_HEADER_OVERFLOW: 'headers_too_large', ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout' }

/** Answers what Node's HTTP parser refuses, which never becomes a request: in the form of any other problem, then the connection ends. */
export function answerClientError (error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const code = codesByError[String(error.code)] ?? 'invalid_request'
  const { status } = catalogue[code]
  const body = JSON.stringify(problem(code, randomUUID()))
  socket.end([
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    'Connection: close',
    '',
    body
  ].join('\r\n'))
}

/**
 * Answers what the router refuses before there is a request: such replies lack our decorators.
 * A path that cannot be decoded is a bad request; one with an overlong parameter names nothing.
 */
export function answerRouterError ({ code }: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const body = problem(code === 'FST_ERR_BAD_URL' ? 'invalid_request' : 'not_found', request.id)
  reply.code(body.status).headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }).type(PROBLEM_TYPE).send(JSON.stringify(body))
}
