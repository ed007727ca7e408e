import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { requestPath } from '../src/request-path.ts'

/** Refuses what names no route, before any body is read: 404 where there is no resource, 405 where it does not know the method. Register it before the routes. */
async function notFound (app: FastifyInstance) {
  const resources = new Map<string, { pattern: RegExp, methods: Set<string> }>()

  app.addHook('onRoute', ({ url, method }) => {
    const source = `^${url.replace(/[.]/g, '\\.').replace(/:\w+/g, '[^/]+').replace(/\*$/, '.*').replace(/\/$/, '')}/?$`
    const known = resources.get(source) ?? { pattern: new RegExp(source), methods: new Set() }
    for (const one of [method].flat()) known.methods.add(one)
    resources.set(source, known)
  })
  app.addHook('onRequest', async (request, reply) => namesNothing(request) ? refuse(request, reply) : undefined)
  // For a route that finds nothing itself, as that of Swagger UI's files.
  app.setNotFoundHandler((_request, reply) => reply.problem('not_found'))

  /** Preflights have a route that takes any path (`plugins/cors.ts`); what gets past their hook is none. */
  function namesNothing ({ is404, routeOptions }: FastifyRequest): boolean {
    return is404 || routeOptions.url === '*'
  }

  function refuse (request: FastifyRequest, reply: FastifyReply) {
    const path = requestPath(request.url)
    const found = [...resources.values()].find(({ pattern }) => pattern.test(path))
    // Where it knows the method and was not asked, it has nothing by this name.
    if (found === undefined || found.methods.has(request.method)) return reply.problem('not_found')
    return reply.header('allow', [...found.methods].sort().join(', ')).problem('method_not_allowed')
  }
}

export default fp(notFound, { fastify: '5.x', name: 'not-found', dependencies: ['errors'] })
