import corsPlugin from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** For how long a browser may keep the answer to a preflight (s). */
const PREFLIGHT_KEPT_S = 600

/** Lets pages of the allowed origins, and of no other, read our answers. Without any it is off: no header, no preflight. */
async function cors (app: FastifyInstance, { origins }: { origins: string[] }) {
  if (origins.length === 0) return
  await app.register(corsPlugin, {
    origin: origins,
    credentials: true,
    methods: ['GET', 'HEAD', 'POST', 'DELETE'],
    allowedHeaders: ['Authorization', 'Content-Type'],
    exposedHeaders: ['Retry-After', 'RateLimit-Limit', 'RateLimit-Remaining', 'RateLimit-Reset', 'WWW-Authenticate'],
    maxAge: PREFLIGHT_KEPT_S
  })
}

export default fp(cors, { fastify: '5.x', name: 'cors' })
