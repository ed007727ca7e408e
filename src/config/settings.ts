import { Type } from '@sinclair/typebox'
import { availableParallelism } from 'node:os'
import { keyPairAlgorithms, sharedSecretAlgorithms } from '../algorithms.ts'
import { choice, duration, integer, list, text, toggle } from './kinds.ts'
import { databaseAddress } from './database.ts'
import { DEFAULT_RATE_LIMITS, freePath, hostAndPort, origin, proxy, rateLimits, redisUrl } from './network.ts'
import { checkSecret } from './weak-secrets.ts'

/** No access token may outlive this, whatever LATCHKEY_ACCESS_TTL was when it was issued. */
export const LONGEST_ACCESS_TTL = 86_400_000

/** Every setting. The README's table and `.env.example` are written from here (`npm run docs`). */
export const Settings = Type.Object({
  host: text(notEmpty, { env: 'HOST', default: '127.0.0.1', description: 'Address to listen on. `0.0.0.0` lets other machines in.' }),
  port: integer([0, 65_535], { env: 'PORT', default: '3000', description: 'Port to listen on; `0` takes a free one.' }),
  logLevel: choice(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    { env: 'LOG_LEVEL', default: 'info', description: 'Least level that is logged: `fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`.' }),
  database: text(databaseAddress, { env: 'DATABASE_URL', hidden: 'credentials', default: 'file:data/latchkey.db', description: 'Where the data lies: `file:` and a path, or `postgres://user:password@host/name`.' }),
  databasePool: integer([1, 1_000], { env: 'LATCHKEY_DATABASE_POOL', default: '10', description: 'Connections to PostgreSQL that this process may open.' }),
  databaseTimeout: duration(['100ms', '1m'], { env: 'LATCHKEY_DATABASE_TIMEOUT', default: '5s', description: 'A statement of PostgreSQL that takes longer, or that waits so long for a connection, is answered 503.' }),
  redisUrl: Type.Optional(text(redisUrl, { env: 'REDIS_URL', hidden: 'credentials', description: 'Where replicas count requests together: `redis://host:6379`. Without it each counts its own.' })),
  publicUrl: Type.Optional(text(publicUrl,
    { env: 'LATCHKEY_PUBLIC_URL', description: 'The URL under which clients reach the service; the issuer (`iss`) of its tokens. Without it: `http://localhost:PORT`.' })),
  audience: list({ env: 'LATCHKEY_AUDIENCE', default: 'latchkey', description: 'Who the access tokens are for (`aud`), comma-separated.' }),
  algorithm: choice([...keyPairAlgorithms, ...sharedSecretAlgorithms], {
    env: 'LATCHKEY_ALGORITHM',
    default: 'ES256',
    description: 'How access tokens are signed: `ES256`, `ES384`, `ES512`, `EdDSA`, or `RS` or `PS` with `256`, `384` or `512`; a change announces a new key. Or with a secret that verifiers share: `HS256`, `HS384`, `HS512`.'
  }),
  hsSecret: Type.Optional(text(secret,
    { env: 'LATCHKEY_HS_SECRET', hidden: 'all', description: 'The secret of `HS256`, `HS384` or `HS512`, at least 32, 48 or 64 bytes. It is another than `LATCHKEY_SECRET`, for those who verify have to know it.' })),
  hsSecretFallbacks: list({ env: 'LATCHKEY_HS_SECRET_FALLBACKS', hidden: 'all', default: '', description: 'Earlier secrets of that kind, comma-separated: they verify and sign nothing, whatever the algorithm is now.' }, checkSecret),
  secret: Type.Optional(text(secret,
    { env: 'LATCHKEY_SECRET', hidden: 'all', description: 'The master secret, at least 32 bytes. Without it one is made at the first start, in the file `secret` beside the database.' })),
  secretFallbacks: list({ env: 'LATCHKEY_SECRET_FALLBACKS', hidden: 'all', default: '', description: 'Earlier master secrets, comma-separated, while they are phased out.' }, checkSecret),
  accessTtl: duration(['5s', '24h'], { env: 'LATCHKEY_ACCESS_TTL', default: '15m', description: 'Longest life of an access token; each lives up to 10 % less.' }),
  leeway: duration(['0s', '5m'], { env: 'LATCHKEY_LEEWAY', default: '0s', description: 'For so long after its end an access token is still good on our own routes. Other services have a leeway of their own.' }),
  sessionIdle: duration(['1m', '3650d'], { env: 'LATCHKEY_SESSION_IDLE', default: '14d', description: 'A session that is not refreshed for so long is over.' }),
  sessionMax: duration(['1m', '3650d'], { env: 'LATCHKEY_SESSION_MAX', default: '30d', description: 'A session is over so long after its login, however often it is refreshed.' }),
  refreshRotation: toggle({ env: 'LATCHKEY_REFRESH_ROTATION', default: 'on', description: '`off`: a refresh token is good until its end, and nobody notices that it was copied.' }),
  refreshGrace: duration(['0s', '5m'], { env: 'LATCHKEY_REFRESH_GRACE', default: '10s', description: 'For so long a used refresh token gives the same answer again. `0s`: never.' }),
  refreshRecovery: duration(['0s', '30d'], { env: 'LATCHKEY_REFRESH_RECOVERY', default: '24h', description: 'For so long a client whose answer was lost may use its last refresh token again. `0s`: never.' }),
  bcryptCost: integer([4, 15], { env: 'LATCHKEY_BCRYPT_COST', default: '12', description: 'Cost of a password hash, 4 to 15; each step doubles the time. Below 10 is for tests.' }),
  hashThreads: integer([1, 64], { env: 'LATCHKEY_HASH_THREADS', default: String(Math.max(1, availableParallelism() - 1)), description: 'Threads that hash passwords. Without it: cores − 1.' }),
  hashQueue: integer([1, 10_000], { env: 'LATCHKEY_HASH_QUEUE', default: '32', description: 'Hashes that may wait for a thread; three quarters of them logins. More are answered 503.' }),
  passwordMinLength: integer([8, 128], { env: 'LATCHKEY_PASSWORD_MIN_LENGTH', default: '8', description: 'Least length of a new password, in characters.' }),
  passwordPepper: Type.Optional(text(secret, { env: 'LATCHKEY_PASSWORD_PEPPER', hidden: 'all', description: 'Key of the password pre-hash, at least 32 bytes, kept outside the database.' })),
  passwordPepperFallbacks: list({ env: 'LATCHKEY_PASSWORD_PEPPER_FALLBACKS', hidden: 'all', default: '', description: 'Earlier peppers, comma-separated; a login moves its hash to the current one.' }, checkSecret),
  registration: choice(['open', 'closed'], { env: 'LATCHKEY_REGISTRATION', default: 'open', description: '`closed` makes `POST /register` answer 403.' }),
  rateLimit: text(rateLimits, {
    env: 'LATCHKEY_RATE_LIMIT',
    default: DEFAULT_RATE_LIMITS,
    description: 'Requests that one address (of IPv6: one /64) may make, by operation; those not named keep their limit. `off` for none.'
  }),
  trustProxy: list({ env: 'LATCHKEY_TRUST_PROXY', default: '', description: 'Addresses and CIDR blocks of the proxies in front, comma-separated; only theirs is an `X-Forwarded-For` that counts.' }, proxy),
  cookies: toggle({ env: 'LATCHKEY_COOKIES', default: 'off', description: '`on` lets browsers keep the refresh token in a cookie that no script can read.' }),
  corsOrigins: list({ env: 'LATCHKEY_CORS_ORIGINS', default: '', description: 'Origins whose pages may call the service, comma-separated. With cookies they have to be of the same site.' }, origin),
  docs: toggle({ env: 'LATCHKEY_DOCS', default: 'on', description: '`off` takes `/docs` and `/openapi.*` away.' }),
  simpleJwt: toggle({ env: 'LATCHKEY_SIMPLE_JWT', default: 'off', description: '`on` answers clients written for Simple JWT of Django, in its words.' }),
  simpleJwtPrefix: text(freePath, { env: 'LATCHKEY_SIMPLE_JWT_PREFIX', default: '/api/token', description: 'Where those clients find it; `/refresh`, `/verify` and `/blacklist` are below.' }),
  requestTimeout: duration(['1s', '5m'], { env: 'LATCHKEY_REQUEST_TIMEOUT', default: '15s', description: 'A request that has not arrived whole by then is cut off with 408.' }),
  shutdownDelay: duration(['0s', '5m'], { env: 'LATCHKEY_SHUTDOWN_DELAY', default: '1s', description: 'After SIGTERM the service is unready for so long before it stops listening.' }),
  auditRetention: duration(['1h', '3650d'], { env: 'LATCHKEY_AUDIT_RETENTION', default: '90d', description: 'For so long audit events are kept.' }),
  metrics: Type.Optional(text(hostAndPort, { env: 'LATCHKEY_METRICS', description: 'Where Prometheus finds the metrics, such as `127.0.0.1:9464`. Without it nothing is counted.' }))
})

function notEmpty (value: string): string {
  if (value.trim() === '') throw new Error('expected a value')
  return value
}

function secret (value: string): string {
  checkSecret(value)
  return value
}

/** RFC 8414 §2: an issuer has no query and no fragment. Verifiers compare it as a string, so it has one spelling. */
function publicUrl (value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined
  const spelled = url && url.origin + url.pathname.replace(/\/$/, '')
  if (!url || !/^https?:$/.test(url.protocol) || spelled !== value) {
    throw new Error('expected an http or https URL in lower case, without user, query, fragment or trailing slash')
  }
  return value
}
