import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import helmet from 'helmet'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { isHttps, isSecure } from '../src/config.ts'

const YEAR_S = 31_536_000

/**
 * What browsers are told of every answer: nothing of it runs, is framed or leaks where it came from. `plugins/docs.ts` loosens it
 * for Swagger UI. It is the same each time, so helmet is asked once; asked for each request, it would take longer than all else of ours.
 */
async function securityHeaders (app: FastifyInstance, { publicUrl }: { publicUrl: string }) {
  const headers = headersOf(publicUrl)
  if (!isSecure(publicUrl)) app.log.warn('LATCHKEY_PUBLIC_URL is http: passwords and tokens travel in the clear, for whoever is on the way to read')
  app.addHook('onRequest', async (_request, reply) => { reply.headers(headers) })
}

function headersOf (publicUrl: string) {
  const protect = helmet({
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    // Only where the service is reached by TLS: over plain HTTP the header means nothing, and on localhost it would bind other projects.
    hsts: isHttps(publicUrl) ? { maxAge: YEAR_S, includeSubDomains: true } : false,
    referrerPolicy: { policy: 'no-referrer' },
    // A page of an allowed origin reads our answers (`plugins/cors.ts`).
    crossOriginResourcePolicy: { policy: 'same-site' },
    // What else helmet knows is for pages (`plugins/docs.ts` has one), and for browsers of long ago.
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xFrameOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false
  })
  const request = new IncomingMessage(new Socket())
  const response = new ServerResponse(request)
  protect(request, response, () => {})
  return response.getHeaders()
}

export default fp(securityHeaders, { fastify: '5.x', name: 'security-headers' })
