// A service of yours that lets in whoever has an access token of Latchkey. It never calls Latchkey but for the public keys.
//   AUTH_URL=http://localhost:3000 PORT=4000 node server.js
import Fastify from 'fastify'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const issuer = process.env.AUTH_URL ?? 'http://localhost:3000'
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`))

const app = Fastify()

app.decorateRequest('user', null)

async function authenticate (request, reply) {
  const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
  if (token === undefined) return reply.code(401).header('www-authenticate', 'Bearer').send({ error: 'no token' })
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience: 'latchkey', typ: 'at+jwt', algorithms: ['ES256'] })
    request.user = payload
  } catch {
    return reply.code(401).header('www-authenticate', 'Bearer error="invalid_token"').send({ error: 'bad token' })
  }
}

app.get('/orders', { onRequest: authenticate }, async ({ user }) => ({ user: user.sub, orders: [] }))

const origin = await app.listen({ port: Number(process.env.PORT ?? 4000) })
console.log(`orders at ${origin}/orders`)
