import { createHash } from 'node:crypto'
import { JWKS_MAX_AGE } from '../src/key-life.ts'
import { answer, noContent, problems } from '../src/responses.ts'
import { Jwks, Metadata, ref, type Routes } from '../src/schemas.ts'

const CACHED = `public, max-age=${JWKS_MAX_AGE / 1000}`
const cached = { 'Cache-Control': { type: 'string', const: CACHED, description: 'How long it may be kept.' } }
const tagged = { ETag: { type: 'string', pattern: '^"[\\w-]+"$', maxLength: 64, description: 'Send it as If-None-Match.' } }

const jwksSchema = {
  operationId: 'getJwks',
  tags: ['Discovery'],
  summary: 'The public keys that verify our access tokens (RFC 7517)',
  description: 'Fetch it once, keep it for as long as Cache-Control says, and again when a token names a key that is not in it.',
  security: [],
  response: {
    200: { description: 'A JWK Set; keys that are to sign soon are in it too.', headers: { ...cached, ...tagged }, content: { 'application/jwk-set+json': { schema: ref(Jwks) } } },
    304: noContent('It is as it was.', { ...cached, ...tagged })
  },
  problems: problems()
}

const metadataSchema = (operationId: string) => ({
  operationId,
  tags: ['Discovery'],
  summary: 'Who issues the tokens and where the keys are (RFC 8414)',
  description: 'The same document at both addresses, for gateways that know only one of them.',
  security: [],
  response: { 200: answer(Metadata, 'The metadata.', cached) },
  problems: problems()
})

interface Options extends Record<string, unknown> {
  publicUrl: string
}

export const discovery: Routes<Options> = async (app, { publicUrl }) => {
  app.get('/.well-known/jwks.json', { schema: jwksSchema }, async (request, reply) => {
    const body = { keys: app.keys.published().map((key) => key.jwk) }
    const etag = `"${createHash('sha256').update(JSON.stringify(body)).digest('base64url')}"`
    reply.header('cache-control', CACHED).header('etag', etag)
    if (namesTag(request.headers['if-none-match'], etag)) return reply.code(304).send()
    return reply.type('application/jwk-set+json; charset=utf-8').send(body)
  })

  // The URLs come from the settings: a Host header must not say where our keys are.
  const metadata = { issuer: publicUrl, jwks_uri: `${publicUrl}/.well-known/jwks.json` }
  app.get('/.well-known/oauth-authorization-server', { schema: metadataSchema('getMetadata') },
    async (_request, reply) => reply.header('cache-control', CACHED).send(metadata))
  app.get('/.well-known/openid-configuration', { schema: metadataSchema('getOpenidMetadata') },
    async (_request, reply) => reply.header('cache-control', CACHED).send(metadata))
}

/** RFC 9110 §13.1.2: `*`, or a list of tags, weak ones among them. */
function namesTag (header: string | undefined, etag: string): boolean {
  const tags = (header ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  return tags.includes('*') || tags.includes(etag)
}
