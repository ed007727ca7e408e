import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type AccessClaims, createAccessTokens } from '../src/access-tokens.ts'
import { readBearer } from '../src/bearer.ts'
import type { Config } from '../src/config.ts'
import { createRefreshTokens } from '../src/refresh-tokens.ts'
import type { Secrets } from '../src/secrets.ts'
import { createSessions, type Sessions } from '../src/sessions.ts'
import { createTokenInspection, type InspectToken } from '../src/token-inspection.ts'

declare module 'fastify' {
  interface FastifyInstance {
    sessions: Sessions
    inspectToken: InspectToken
    /** An onRequest hook for private routes: answers 401, or leaves who is calling in `request.user`. */
    authenticate: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined>
  }
}

declare module '@fastify/jwt' {
  interface FastifyJWT {
    /** Whose the access token is, and of which session. */
    user: AccessClaims
  }
}

interface Options {
  config: Config
  secrets: Secrets
  random: () => number
}

/** The sessions, and the hook that guards private routes. */
async function auth (app: FastifyInstance, { config, secrets, random }: Options) {
  const { now } = app
  const accessTokens = createAccessTokens(app.keys, config, { now, random })
  const refreshTokens = createRefreshTokens(new Map(Object.entries(app.jwt)), config.publicUrl)
  const ofTokens = { store: app.db.store, accessTokens, refreshTokens, primaryKeyId: secrets.primary.id, settings: config, now }
  const sessions = createSessions(ofTokens)

  app.decorate('sessions', sessions)
  app.decorate('inspectToken', createTokenInspection({ ...ofTokens, sessions }))
  app.decorate('authenticate', authenticate)

  async function authenticate (request: FastifyRequest, reply: FastifyReply) {
    const token = readBearer(request.raw.rawHeaders)
    if (token === undefined) return reply.problem('missing_token')
    const verified = await accessTokens.verify(token)
    if (verified.outcome === 'expired') return reply.problem('token_expired')
    if (verified.outcome === 'invalid') {
      await request.auditRefusal('access_token')
      return reply.problem('invalid_token')
    }
    // No event: a client whose session was ended elsewhere finds it out like this.
    if (!await sessions.isLive(verified.claims)) return reply.problem('invalid_token')
    request.user = verified.claims
    return undefined
  }
}

export default fp(auth, { fastify: '5.x', name: 'auth', dependencies: ['clock', 'keys', 'jwt', 'audit'] })
