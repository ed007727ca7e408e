import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { catalogue, type Code } from '../src/errors.ts'
import { CHALLENGE, type FieldErrors, presentProblem, presentRefusal } from '../src/simple-jwt.ts'
import type { Inspected } from '../src/token-inspection.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** 400, with what is wrong by field. */
    refuseFields (errors: FieldErrors): FastifyReply
    /** 401, with the reason why a token is refused. */
    refuseToken (inspected: Inspected): FastifyReply
  }
}

/**
 * The manners of Django REST Framework, for the scope that it is registered in: forms are read like JSON, and whatever is
 * refused there, by any hook, is refused in its words. Bodies are judged by `src/simple-jwt.ts`, so that the schemas only describe.
 */
async function simpleJwt (scope: FastifyInstance) {
  // Replies of this scope alone have this one; those of the others keep theirs (`plugins/errors.ts`).
  scope.decorateReply('problem', sendProblem)
  scope.decorateReply('refuseFields', function (errors) { return this.code(400).send(errors) })
  scope.decorateReply('refuseToken', refuseToken)
  scope.setNotFoundHandler((_request, reply) => reply.problem('not_found'))
  scope.setValidatorCompiler(() => () => true)
  scope.addContentTypeParser(['application/x-www-form-urlencoded', 'multipart/form-data'], { parseAs: 'buffer' }, parseForm)
}

function sendProblem (this: FastifyReply, code: Code): FastifyReply {
  const { status, ...more } = catalogue[code]
  if (status === 401) this.header('www-authenticate', CHALLENGE)
  if ('retryAfter' in more) this.header('retry-after', more.retryAfter)
  return this.code(status).send(presentProblem(code, { method: this.request.method, retryAfter: Number(this.getHeader('retry-after')) }))
}

function refuseToken (this: FastifyReply, inspected: Inspected): FastifyReply {
  return this.code(401).header('www-authenticate', CHALLENGE).send(presentRefusal(inspected))
}

/** The last of several values wins, as in Django; a file is no text, which the rules will say. */
async function parseForm ({ headers }: FastifyRequest, body: string | Buffer): Promise<Record<string, unknown>> {
  const form = new Response(body, { headers: { 'content-type': String(headers['content-type']) } }).formData()
  // What is no form is the client's fault, whatever the parser calls it.
  return Object.fromEntries(await form.catch(() => { throw Object.assign(new Error('no form'), { statusCode: 400 }) }))
}

export default fp(simpleJwt, { fastify: '5.x', name: 'simple-jwt', dependencies: ['errors', 'not-found'] })
