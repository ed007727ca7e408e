import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { isHttps } from '../src/config.ts'
import { completeContract } from '../src/contract.ts'
import type { Code } from '../src/errors.ts'
import { problemExamples } from '../src/failure-examples.ts'
import { icon, logo } from '../src/logo.ts'
import { problemResponses } from '../src/responses.ts'
import { components } from '../src/schemas.ts'
import { faultExamples } from '../src/simple-jwt-examples.ts'
import { faultResponses, SIMPLE_JWT, simpleJwtComponents } from '../src/simple-jwt-schemas.ts'
import { version } from '../src/version.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** How the operation can fail. Problems are sent as they are made, so no serializer is compiled for them. */
    problems?: Code[]
  }
}

const description = `Register, log in, refresh, log out; verify the access tokens in your own services with the keys at
[\`/.well-known/jwks.json\`](/.well-known/jwks.json).

To try it here: **POST /register**, then **POST /login**, copy the \`access_token\`, press **Authorize**, and call **GET /private**.`

const tags = [
  { name: 'Account', description: 'Who you are.' },
  { name: 'Tokens', description: 'Get a pair of tokens, and keep it fresh.' },
  { name: 'Sessions', description: 'Where you are logged in, and how to end it.' },
  { name: 'Private', description: 'What a token opens.' },
  { name: 'Discovery', description: 'What other services need to verify our tokens.' },
  { name: 'Health', description: 'For load balancers.' }
]
const simpleJwtTag = { name: SIMPLE_JWT, description: 'Logins and tokens for clients written for Simple JWT, in its words; errors are those of Django REST Framework.' }

/** Swagger UI runs its own scripts, styles itself inline, and talks to this host alone. */
const policy = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self' 'unsafe-inline'",
  'img-src': "'self' data:",
  'font-src': "'self' data:",
  'connect-src': "'self'",
  'frame-ancestors': "'none'"
}

const SVG = 'image/svg+xml'
/** The page says nothing of it, and a phone would show it as wide as a desk. */
const fitPhones = "document.head.append(Object.assign(document.createElement('meta'), { name: 'viewport', content: 'width=device-width' }))"
const looks = {
  logo: { type: SVG, content: Buffer.from(logo) },
  theme: {
    title: 'Latchkey',
    favicon: [{ filename: 'icon.svg', rel: 'icon', sizes: 'any', type: SVG, content: Buffer.from(icon) }],
    js: [{ filename: 'phone.js', content: fitPhones }]
  }
}

interface Options {
  show: boolean
  simpleJwt: boolean
  publicUrl: string
}

/** The contract, made from the routes' schemas, and Swagger UI at /docs unless it is switched off. Register it before the routes. */
async function docs (app: FastifyInstance, { show, simpleJwt, publicUrl }: Options) {
  for (const schema of simpleJwt ? [...components, ...simpleJwtComponents] : components) app.addSchema(schema)
  await app.register(swagger, contract(simpleJwt))
  if (!show) return
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    ...looks,
    staticCSP: policy,
    uiHooks: isHttps(publicUrl) ? { onRequest: isolate } : {},
    // The badge of the online validator would send the contract elsewhere.
    uiConfig: { validatorUrl: null, tryItOutEnabled: true, persistAuthorization: false, deepLinking: true, displayRequestDuration: true }
  })
  await app.register(contractRoutes)
}

/** Each form is made when it is first asked for, and once: making it holds everybody up. */
async function contractRoutes (app: FastifyInstance) {
  let json: Buffer | undefined
  let yaml: Promise<Buffer> | undefined
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
    json ??= Buffer.from(JSON.stringify(app.swagger()))
    return reply.type('application/json; charset=utf-8').send(json)
  })
  app.get('/openapi.yaml', { schema: { hide: true } }, async (_request, reply) => {
    yaml ??= makeYaml(app)
    return reply.type('application/yaml; charset=utf-8').send(await yaml)
  })
}

async function makeYaml (app: FastifyInstance): Promise<Buffer> {
  const { contractYaml } = await import('../src/contract-yaml.ts')
  return Buffer.from(contractYaml(app.swagger()))
}

function contract (simpleJwt: boolean): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Latchkey', version: version(), description, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [{ url: '/', description: 'The host that this document comes from, local or production.' }],
      tags: simpleJwt ? [...tags, simpleJwtTag] : tags,
      components: {
        securitySchemes: {
          bearerAuth: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'The `access_token` of a login or a refresh (RFC 6750, RFC 9068, RFC8725).' }
        }
      }
    },
    transform: ({ schema: { problems = [], response, ...schema }, url }) => {
      const all = schema.tags?.includes('Health') ? problems : problems.concat('too_many_requests')
      const failed = schema.tags?.includes(SIMPLE_JWT) ? faultResponses(all) : problemResponses(all)
      return { schema: { ...schema, response: Object.assign({}, response, failed) }, url }
    },
    // The other half of the type is for Swagger 2.0.
    transformObject: (document) => completeContract((document as Extract<typeof document, { openapiObject: object }>).openapiObject, { ...problemExamples, ...faultExamples }),
    convertConstToEnum: false,
    refResolver: { buildLocalReference: (json) => String(json['$id']) }
  }
}

/**
 * A page: no window of another origin gets hold of it, into which an access token is typed.
 * Only where the service is reached by TLS: over plain HTTP browsers ignore the header, and complain of it, but for localhost.
 */
async function isolate (_request: FastifyRequest, reply: FastifyReply) {
  reply.header('cross-origin-opener-policy', 'same-origin')
}

export default fp(docs, { fastify: '5.x', name: 'docs' })
