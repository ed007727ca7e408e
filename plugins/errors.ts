import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { IncomingMessage } from 'node:http'
import { catalogue, type Code, type FieldError, problem, PROBLEM_TYPE } from '../src/errors.ts'
import { fieldErrors } from '../src/field-errors.ts'
import { Unavailable } from '../src/unavailable.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** Answers with a problem of the catalogue, its status, and the headers that go with it. */
    problem (code: Code, errors?: FieldError[]): FastifyReply
  }
}

/** What Fastify calls the faults of a body; whatever else it objects to in a request is `invalid_request`. */
const fastifyCodes: Record<string, Code> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large'
}

/** RFC 6750 §3.1: `error` only where a token was sent and is bad. */
const challenges: Partial<Record<Code, string>> = {
  invalid_token: 'Bearer realm="latchkey", error="invalid_token"',
  token_expired: 'Bearer realm="latchkey", error="invalid_token"'
}

async function errors (app: FastifyInstance) {
  app.decorateReply('problem', sendProblem)
  app.addHook('onRequest', async (request, reply) =>
    namesOneHost(request.raw) ? undefined : reply.header('connection', 'close').problem('invalid_request'))
  app.setErrorHandler(handleError)
}

/** RFC 9112 §3.2: one Host, neither none (but for HTTP/1.0) nor two, of which Node would take the first. */
function namesOneHost ({ httpVersion, rawHeaders }: IncomingMessage): boolean {
  const hosts = rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host')
  return hosts.length === 1 || (hosts.length === 0 && httpVersion === '1.0')
}

function sendProblem (this: FastifyReply, code: Code, fields?: FieldError[]): FastifyReply {
  const { status, ...more } = catalogue[code]
  if (status === 401) this.header('www-authenticate', challenges[code] ?? 'Bearer realm="latchkey"')
  if ('retryAfter' in more) this.header('retry-after', more.retryAfter)
  return this.code(status).type(PROBLEM_TYPE).send(problem(code, this.request.id, fields))
}

function handleError (error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
  if (error instanceof Unavailable) {
    request.log.error({ err: error }, error.message)
    return reply.problem('unavailable')
  }
  // A path that cannot name anything is one where nothing is.
  if (error.validation && error.validationContext !== 'body') return reply.problem('not_found')
  if (error.validation) return reply.problem('invalid_request', fieldErrors(error.validation))
  if (error.statusCode !== undefined && error.statusCode < 500) return reply.problem(fastifyCodes[error.code] ?? 'invalid_request')
  request.log.error({ err: error }, 'internal error')
  return reply.problem('internal_error')
}

export default fp(errors, { fastify: '5.x', name: 'errors' })
