import Fastify, { type FastifyHttpOptions, type FastifyInstance } from 'fastify'
import type { Server } from 'node:http'
import audit from '../plugins/audit.ts'
import auth from '../plugins/auth.ts'
import clientAddress from '../plugins/client-address.ts'
import closing from '../plugins/closing.ts'
import clock from '../plugins/clock.ts'
import cors from '../plugins/cors.ts'
import db from '../plugins/db.ts'
import docs from '../plugins/docs.ts'
import errors from '../plugins/errors.ts'
import json from '../plugins/json.ts'
import jwt from '../plugins/jwt.ts'
import keys from '../plugins/keys.ts'
import metrics from '../plugins/metrics.ts'
import noStore from '../plugins/no-store.ts'
import notFound from '../plugins/not-found.ts'
import overload from '../plugins/overload.ts'
import passwords from '../plugins/passwords.ts'
import pipelining from '../plugins/pipelining.ts'
import purge from '../plugins/purge.ts'
import rateLimit from '../plugins/rate-limit.ts'
import refreshCookie from '../plugins/refresh-cookie.ts'
import requestId from '../plugins/request-id.ts'
import securityHeaders from '../plugins/security-headers.ts'
import simpleJwtManners from '../plugins/simple-jwt.ts'
import tokens from '../plugins/tokens.ts'
import { discovery } from '../routes/discovery.ts'
import { health } from '../routes/health.ts'
import { login } from '../routes/login.ts'
import { logout } from '../routes/logout.ts'
import { me } from '../routes/me.ts'
import { password } from '../routes/password.ts'
import { privateRoute } from '../routes/private.ts'
import { refresh } from '../routes/refresh.ts'
import { register } from '../routes/register.ts'
import { sessions } from '../routes/sessions.ts'
import { simpleJwt } from '../routes/simple-jwt.ts'
import { answerRouterError, createClientErrorAnswer } from './early-errors.ts'
import type { Config } from './config.ts'
import { expectSecret } from './missing-secret.ts'
import { policyKeyword } from './policy-keyword.ts'
import { idOfRequest } from './request-id.ts'
import { RequestLog } from './request-log.ts'
import { BODY_LIMIT } from './schemas.ts'
import { loadSecrets } from './secrets.ts'

/** Docker kills after 10 s what has not stopped. */
const CLOSING_GRACE = 8_000
/** Proxies keep an idle connection for 60 s as a rule. One that we ended before them would break under the request they are sending (ms). */
const KEEP_ALIVE = 72_000
/** Node looks for requests that take too long only so often (ms). */
const TIMEOUTS_CHECKED_EVERY = 1_000
/** A client that neither sends nor reads for so long has gone; no answer takes as long (ms). */
const LONGEST_SILENCE = 120_000

export interface Surroundings {
  /** Milliseconds since the epoch; without it the machine's clock, set by the database's. */
  now?: (() => number) | undefined
  /** From 0 to 1, 1 excluded. */
  random: () => number
}

/** The composition root: every plugin and route, in the order in which they build on each other. */
export async function build (config: Config, { now, random }: Surroundings = { random: Math.random }): Promise<FastifyInstance> {
  const app = Fastify(serverOptions(config))
  // Beyond some thousand Node would drop header fields without a word, a second Host or X-Forwarded-For among them; 16 KiB of them are the limit.
  app.server.maxHeadersCount = 0
  await expectSecret(config)
  const secrets = loadSecrets(config)

  await app.register(metrics, { address: config.metrics })
  await app.register(pipelining)
  await app.register(clientAddress)
  await app.register(closing, { grace: CLOSING_GRACE })
  await app.register(requestId)
  await app.register(noStore)
  await app.register(securityHeaders, config)
  await app.register(errors)
  await app.register(cors, { origins: config.corsOrigins })
  await app.register(rateLimit, { limits: config.rateLimit, redisUrl: config.redisUrl })
  await app.register(notFound)
  await app.register(json)
  await app.register(docs, { show: config.docs, simpleJwt: config.simpleJwt, publicUrl: config.publicUrl })

  await app.register(db, config)
  await app.register(clock, { given: now })
  await app.register(purge, config)
  await app.register(audit)
  await app.register(passwords, config)
  await app.register(keys, { config, secrets })
  await app.register(jwt, { secrets })
  await app.register(auth, { config, secrets, random })
  await app.register(tokens, { attemptsKey: secrets.primary.attempts })
  await app.register(refreshCookie, config)

  await app.register(health)
  await app.register(discovery, { publicUrl: config.publicUrl })
  await app.register(async (work) => {
    await work.register(overload)
    await work.register(register, { open: config.registration === 'open' })
    await work.register(login)
    await work.register(refresh)
    await work.register(logout)
    await work.register(privateRoute)
    await work.register(me)
    await work.register(password)
    await work.register(sessions)
    if (config.simpleJwt) await work.register(likeSimpleJwt, { prefix: config.simpleJwtPrefix })
  })

  return app
}

async function likeSimpleJwt (scope: FastifyInstance) {
  await scope.register(simpleJwtManners)
  await scope.register(simpleJwt)
}

function serverOptions (config: Config): FastifyHttpOptions<Server> {
  const requestLog = new RequestLog()
  return {
    logger: { level: config.logLevel },
    logController: requestLog,
    genReqId: idOfRequest,
    trustProxy: config.trustProxy.length > 0 ? config.trustProxy : false,
    requestTimeout: config.requestTimeout,
    connectionTimeout: LONGEST_SILENCE,
    keepAliveTimeout: KEEP_ALIVE,
    // No maxRequestsPerSocket: each request is counted by itself, and Node would answer 503 to those beyond, whoever the proxy sends them for.
    // No handlerTimeout: its 503 would not undo what goes on behind it; what handlers wait for has a limit of its own.
    // What a start waits for has limits of its own; a migration of a large table, or another process that makes it, takes its time.
    pluginTimeout: 0,
    bodyLimit: BODY_LIMIT,
    routerOptions: { ignoreTrailingSlash: true },
    // Node's own refusal has no body; `plugins/errors.ts` answers.
    http: { requireHostHeader: false, headersTimeout: config.requestTimeout, connectionsCheckingInterval: TIMEOUTS_CHECKED_EVERY },
    // A request that comes while we close, on a connection that was open, is answered like any other; the connection ends with it.
    return503OnClosing: false,
    ajv: {
      // A body is taken as it came or refused; nothing is coerced, dropped or filled in.
      customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false, allErrors: true, allowUnionTypes: true },
      plugins: [policyKeyword(config.passwordMinLength)]
    },
    frameworkErrors: answerRouterError,
    clientErrorHandler: createClientErrorAnswer(requestLog)
  }
}
