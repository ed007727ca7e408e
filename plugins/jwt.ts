import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { RefreshClaims } from '../src/refresh-tokens.ts'
import type { SecretKeys, Secrets } from '../src/secrets.ts'

declare module '@fastify/jwt' {
  interface FastifyJWT {
    payload: RefreshClaims
    /** The ids of the master secrets. */
    namespaces: string
  }
}

const TYP = 'rt+jwt'

/**
 * @fastify/jwt once per master secret, in a namespace of its id: `app.jwt[id]` signs and verifies refresh tokens.
 * Access tokens are signed by keys that change while the service runs. Given such a key, @fastify/jwt would build a signer
 * for every token, at ten times the cost of signing; `src/key-ring.ts` builds each once, with the library beneath it.
 */
async function jwt (app: FastifyInstance, { secrets }: { secrets: Secrets }) {
  for (const secret of secrets.all.values()) await app.register(fastifyJwt, optionsFor(secret))
}

function optionsFor ({ id, refresh }: SecretKeys): fastifyJwt.FastifyJWTOptions {
  return {
    namespace: id,
    secret: refresh,
    sign: { algorithm: 'HS256', header: { alg: 'HS256', typ: TYP, kid: id } },
    verify: {
      algorithms: ['HS256'],
      checkTyp: TYP,
      requiredClaims: ['sub', 'sid', 'gen', 'jti', 'iat', 'exp'],
      // Logout ends a session by an expired token too; `src/refresh-tokens.ts` looks at the expiry, on our clock.
      ignoreExpiration: true
    }
  }
}

export default fp(jwt, { fastify: '5.x', name: 'jwt' })
