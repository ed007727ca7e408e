import fc from 'fast-check'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import t from 'tap'
import { type Config, ConfigError, envName, loadConfig } from '../src/config.ts'
import { shownAddress } from '../src/config/database.ts'
import { Settings } from '../src/config/settings.ts'
import { SECRET_OF_ITS_OWN } from '../src/config/shared-secret.ts'
import { folder } from './fixtures/app.ts'

const SECRET = 'KqX7w0aVd9ZpR3sYtB5nMgJcH2fLuE8iO4xQ'
/** Of 64 bytes, and of 48. */
const LONG_SECRET = 'Zt5xQ9bLw2Vn8Rk4Jd7Gs0Yh3Mf6Pc1TaE-iXoUvBqWzNyKj_HgFlDrSmCpA5e8u'
const MIDDLE_SECRET = LONG_SECRET.slice(0, 48)
const OTHER_SECRET = 'h3Wm8TzQ1rUoA6yNkC0vXbE5gSjP9dLf7iKq'
const names = Object.values(Settings.properties).map(envName)

const aMinute = (max: number) => ({ max, window: 60_000 })
/** Those that hold when nothing is set. */
const limits = { default: aMinute(1_000), register: aMinute(20), login: aMinute(60), refresh: aMinute(300), password: aMinute(20) }

/** The message of the ConfigError that these settings give; '' when they give none. */
function complaint (env: NodeJS.ProcessEnv): string {
  try {
    loadConfig(env)
    return ''
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

t.test('without any setting → the defaults', async (t) => {
  t.strictSame({ ...loadConfig({}) }, {
    host: '127.0.0.1',
    port: 3000,
    logLevel: 'info',
    database: { path: resolve('data/latchkey.db') },
    databasePool: 10,
    databaseTimeout: 5_000,
    publicUrl: 'http://localhost:3000',
    audience: ['latchkey'],
    algorithm: 'ES256',
    hsSecretFallbacks: [],
    secretFallbacks: [],
    accessTtl: 900_000,
    leeway: 0,
    sessionIdle: 14 * 86_400_000,
    sessionMax: 30 * 86_400_000,
    refreshRotation: true,
    refreshGrace: 10_000,
    refreshRecovery: 86_400_000,
    bcryptCost: 12,
    hashThreads: Math.max(1, availableParallelism() - 1),
    hashQueue: 32,
    passwordMinLength: 8,
    passwordPepperFallbacks: [],
    registration: 'open',
    rateLimit: limits,
    trustProxy: [],
    cookies: false,
    corsOrigins: [],
    docs: true,
    simpleJwt: false,
    simpleJwtPrefix: '/api/token',
    requestTimeout: 15_000,
    shutdownDelay: 1_000,
    auditRetention: 90 * 86_400_000
  })
})

t.test('an empty setting → its default', async (t) => {
  t.strictSame(loadConfig(Object.fromEntries(names.map((name) => [name, '']))), loadConfig({}))
})

const good: Record<string, [string, Partial<Config>][]> = {
  HOST: [['0.0.0.0', { host: '0.0.0.0' }], ['::1', { host: '::1' }]],
  PORT: [['0', { port: 0, publicUrl: 'http://localhost:0' }], ['65535', { port: 65_535, publicUrl: 'http://localhost:65535' }]],
  LOG_LEVEL: [['silent', { logLevel: 'silent' }], ['fatal', { logLevel: 'fatal' }]],
  DATABASE_URL: [
    ['file:x.db', { database: { path: resolve('x.db') } }], ['file:./a/../x.db', { database: { path: resolve('x.db') } }], ['file:/var/lib/x.db', { database: { path: '/var/lib/x.db' } }],
    ['file:///var/lib/x.db', { database: { path: '/var/lib/x.db' } }], ['file:a b%20c?d#e', { database: { path: resolve('a b%20c?d#e') } }],
    ...['postgres://localhost/latchkey', 'postgresql://ada:sentinel@db.example:5433/latchkey?sslmode=verify-full', 'postgres:///latchkey?host=/run/postgresql'].map((url): [string, Partial<Config>] => [url, { database: { url } }])
  ],
  LATCHKEY_DATABASE_POOL: [['1', { databasePool: 1 }], ['1000', { databasePool: 1_000 }]],
  LATCHKEY_DATABASE_TIMEOUT: [['100ms', { databaseTimeout: 100 }], ['1m', { databaseTimeout: 60_000 }]],
  REDIS_URL: ['redis://localhost', 'redis://:sentinel@10.0.0.1:6380/2', 'rediss://cache.example:6379'].map((redisUrl) => [redisUrl, { redisUrl }]),
  LATCHKEY_PUBLIC_URL: ['https://auth.example', 'http://localhost:8080', 'https://example.org/auth', 'https://[::1]:8443', 'https://example.org/a/b', `https://x.example/${'a'.repeat(232)}`]
    .map((publicUrl) => [publicUrl, { publicUrl }]),
  LATCHKEY_AUDIENCE: [['api', { audience: ['api'] }], [' a , b,,c ,', { audience: ['a', 'b', 'c'] }], ['x'.repeat(496), { audience: ['x'.repeat(496)] }]],
  LATCHKEY_ALGORITHM: [['ES384', { algorithm: 'ES384' }], ['ES512', { algorithm: 'ES512' }], ['EdDSA', { algorithm: 'EdDSA' }], ['RS256', { algorithm: 'RS256' }], ['PS512', { algorithm: 'PS512' }]],
  // With LATCHKEY_ALGORITHM alone, which has tests of its own.
  LATCHKEY_HS_SECRET: [],
  LATCHKEY_HS_SECRET_FALLBACKS: [[`${SECRET}, ${OTHER_SECRET}`, { hsSecretFallbacks: [SECRET, OTHER_SECRET] }]],
  LATCHKEY_SECRET: [[SECRET, { secret: SECRET }], ['Ünïcödé zählt in Bytes, nicht', { secret: 'Ünïcödé zählt in Bytes, nicht' }]],
  LATCHKEY_SECRET_FALLBACKS: [[`${SECRET}, ${OTHER_SECRET}`, { secretFallbacks: [SECRET, OTHER_SECRET] }]],
  LATCHKEY_ACCESS_TTL: [['5s', { accessTtl: 5_000 }], ['5000ms', { accessTtl: 5_000 }], ['24h', { accessTtl: 86_400_000 }]],
  LATCHKEY_LEEWAY: [['0s', {}], ['5m', { leeway: 300_000 }]],
  LATCHKEY_SESSION_IDLE: [['15m', { sessionIdle: 900_000 }], ['30d', { sessionIdle: 30 * 86_400_000 }]],
  LATCHKEY_SESSION_MAX: [['3650d', { sessionMax: 3650 * 86_400_000 }]],
  LATCHKEY_REFRESH_ROTATION: [['off', { refreshRotation: false }], ['on', {}]],
  LATCHKEY_REFRESH_GRACE: [['0s', { refreshGrace: 0 }], ['5m', { refreshGrace: 300_000 }]],
  LATCHKEY_REFRESH_RECOVERY: [['0s', { refreshRecovery: 0 }], ['30d', { refreshRecovery: 30 * 86_400_000 }]],
  LATCHKEY_BCRYPT_COST: [['4', { bcryptCost: 4 }], ['15', { bcryptCost: 15 }]],
  LATCHKEY_HASH_THREADS: [['1', { hashThreads: 1 }], ['64', { hashThreads: 64 }]],
  LATCHKEY_HASH_QUEUE: [['1', { hashQueue: 1 }], ['10000', { hashQueue: 10_000 }]],
  LATCHKEY_PASSWORD_MIN_LENGTH: [['8', { passwordMinLength: 8 }], ['128', { passwordMinLength: 128 }]],
  LATCHKEY_PASSWORD_PEPPER: [[SECRET, { passwordPepper: SECRET }]],
  LATCHKEY_PASSWORD_PEPPER_FALLBACKS: [[SECRET, { passwordPepperFallbacks: [SECRET] }]],
  LATCHKEY_REGISTRATION: [['closed', { registration: 'closed' }]],
  LATCHKEY_RATE_LIMIT: [
    ['off', { rateLimit: undefined }], ['login=1/1s', { rateLimit: { ...limits, login: { max: 1, window: 1_000 } } }],
    [' default=9/24h ,login=999999999/90s', { rateLimit: { ...limits, default: { max: 9, window: 86_400_000 }, login: { max: 999_999_999, window: 90_000 } } }],
    ['login=1/1s,login=2/1s', { rateLimit: { ...limits, login: { max: 2, window: 1_000 } } }]
  ],
  LATCHKEY_TRUST_PROXY: [
    ['127.0.0.1', { trustProxy: ['127.0.0.1'] }], ['10.0.0.0/8, ::1,fd00::/8', { trustProxy: ['10.0.0.0/8', '::1', 'fd00::/8'] }],
    ['0.0.0.0/0,::/128', { trustProxy: ['0.0.0.0/0', '::/128'] }], [',', { trustProxy: [] }]
  ],
  LATCHKEY_COOKIES: [['on', { cookies: true }], ['off', {}]],
  LATCHKEY_CORS_ORIGINS: [
    ['https://app.example.com', { corsOrigins: ['https://app.example.com'] }],
    ['http://localhost:5173 , https://[::1]:8443', { corsOrigins: ['http://localhost:5173', 'https://[::1]:8443'] }]
  ],
  LATCHKEY_DOCS: [['off', { docs: false }], ['on', {}]],
  LATCHKEY_SIMPLE_JWT: [['on', { simpleJwt: true }], ['off', {}]],
  LATCHKEY_SIMPLE_JWT_PREFIX: ['/token', '/auth/jwt', '/api/v1.2/token_pair', '/loginx', `/${'a'.repeat(99)}`].map((simpleJwtPrefix) => [simpleJwtPrefix, { simpleJwtPrefix }]),
  LATCHKEY_REQUEST_TIMEOUT: [['1s', { requestTimeout: 1_000 }], ['5m', { requestTimeout: 300_000 }]],
  LATCHKEY_SHUTDOWN_DELAY: [['0s', { shutdownDelay: 0 }], ['5m', { shutdownDelay: 300_000 }]],
  LATCHKEY_AUDIT_RETENTION: [['1h', { auditRetention: 3_600_000 }], ['3650d', { auditRetention: 3650 * 86_400_000 }]],
  LATCHKEY_METRICS: [
    ['127.0.0.1:9464', { metrics: { host: '127.0.0.1', port: 9464 } }], ['[::1]:0', { metrics: { host: '::1', port: 0 } }],
    ['localhost:65535', { metrics: { host: 'localhost', port: 65_535 } }]
  ]
}

t.strictSame(Object.keys(good), names, 'every setting is looked at')

for (const [name, values] of Object.entries(good)) {
  t.test(`${name} of the expected form → read, and nothing else changes`, async (t) => {
    for (const [value, changed] of values) t.strictSame({ ...loadConfig({ [name]: value }) }, { ...loadConfig({}), ...changed }, value)
  })
}

const notNumbers = [' ', 'x', '-1', '1.5', '1e3', '0x10', ' 8', '8 ', '+8', '٨', '1_000', '9'.repeat(40), 'NaN', 'Infinity', 'true']
const notDurations = ['15', 'm', '15 m', '15M', '-15m', '1.5h', '15min', 'PT15M', '1h30m', '0x1s', '15w', `${'9'.repeat(20)}s`, 'Infinity', ' 15m', '١٥m', '999999999d']
const notChoices = [' ', 'x', 'true', '0', 'constructor', 'open,closed']
const notSecrets = [
  'short', 'Xy7'.repeat(9), 'a'.repeat(64), 'abcabcabcabcabcabcabcabcabcabcabcabc', 'abcdefghijk'.repeat(4), '0123456789abcdef'.repeat(4),
  'changeme-changeme-changeme-changeme', 'Please-Change-Me-Now-0x9f8e7d6c5b4a', 'your-256-bit-secret-your-256-bit-secret', 'django-insecure-7#kq2z!x9v@w4m8n5b3c6j1h0g',
  'this is a secret, and it is long enough', 'P-a.s_s+w/o=r~d-and-a-tail-of-9x8c7v6b', 'correct-password-battery-staple-4711', 'Super_Secret_Key_0987654321_zyxwvut', 'latchkey-latchkey-latchkey-latchkey-1',
  '\u{1f511}'.repeat(12)
]

const bad: Record<string, string[]> = {
  HOST: [' ', '\t'],
  PORT: [...notNumbers, '65536'],
  LOG_LEVEL: [...notChoices, 'INFO', 'warning', 'info '],
  DATABASE_URL: [
    ' ', 'storage/x.db', '/var/lib/x.db', 'file:', 'file://', 'file://storage/x.db', 'file://localhost/x.db', 'file:////x.db', 'FILE:x.db', 'sqlite:x.db', 'http://x', 'file:a\nb', ':memory:',
    'postgres:db', 'mysql://sentinel@db.example/latchkey', 'postgres://sentinel@:x:/latchkey', 'Postgres://db.example/latchkey'
  ],
  LATCHKEY_DATABASE_POOL: [...notNumbers, '0', '1001'],
  LATCHKEY_DATABASE_TIMEOUT: [...notDurations, '99ms', '61s'],
  REDIS_URL: [' ', 'cache:6379', 'redis:', 'redis:localhost', 'http://sentinel@localhost:6379', 'redis://:x:x'],
  LATCHKEY_PUBLIC_URL: [
    ' ', 'auth.example', '//auth.example', 'ftp://auth.example', 'https://', 'https:auth.example', 'https://auth.example/', 'https://example.org/auth/', 'https://auth.example?x', 'https://auth.example?',
    'https://auth.example#x', 'https://auth.example#', 'https://sentinel@auth.example', 'https://ada:sentinel@auth.example', 'https://Auth.example', 'HTTPS://auth.example', 'https://bücher.example',
    'https://auth.example:443', 'http://auth.example:80', 'https://auth.example:99999', 'https://a b', ' https://auth.example', 'https://auth.example ', 'https://example.org/a/../b', 'https://example.org/a b',
    'javascript:alert(1)', 'file:///etc', 'https://127.1', `https://x.example/${'a'.repeat(233)}`
  ],
  LATCHKEY_AUDIENCE: [' ', ',', ' , ,', 'x'.repeat(497), 'é'.repeat(249)],
  LATCHKEY_ALGORITHM: [...notChoices, 'none', 'es256', 'ES256 ', 'ES256K', 'ES521', 'RS1', 'PS', 'HS1', 'Ed25519', 'EDDSA', 'toString'],
  LATCHKEY_HS_SECRET: notSecrets,
  LATCHKEY_HS_SECRET_FALLBACKS: ['x', `${SECRET},short`, 'changeme-changeme-changeme-changeme'],
  LATCHKEY_SECRET: notSecrets,
  LATCHKEY_SECRET_FALLBACKS: ['x', `${SECRET},short`, 'changeme-changeme-changeme-changeme'],
  LATCHKEY_ACCESS_TTL: [...notDurations, '4999ms', '25h', '0s'],
  LATCHKEY_LEEWAY: [...notDurations, '301s'],
  LATCHKEY_SESSION_IDLE: [...notDurations, '59s', '3651d'],
  LATCHKEY_SESSION_MAX: [...notDurations, '59s', '3651d'],
  LATCHKEY_REFRESH_ROTATION: [...notChoices, 'OFF', 'no'],
  LATCHKEY_REFRESH_GRACE: [...notDurations, '301s'],
  LATCHKEY_REFRESH_RECOVERY: [...notDurations, '31d'],
  LATCHKEY_BCRYPT_COST: [...notNumbers, '3', '16'],
  LATCHKEY_HASH_THREADS: [...notNumbers, '0', '65'],
  LATCHKEY_HASH_QUEUE: [...notNumbers, '0', '10001'],
  LATCHKEY_PASSWORD_MIN_LENGTH: [...notNumbers, '7', '129'],
  LATCHKEY_PASSWORD_PEPPER: notSecrets,
  LATCHKEY_PASSWORD_PEPPER_FALLBACKS: ['x', `${SECRET},short`],
  LATCHKEY_REGISTRATION: [...notChoices, 'OPEN'],
  LATCHKEY_RATE_LIMIT: [
    ' ', 'on', '100', 'login', 'login=', 'login=5', 'login=5/', 'login=0/1m', 'login=-5/1m', 'login=1.5/1m', 'login=5/0s', 'login=5/999ms', 'login=5/25h', 'login=5/minute', 'login=5/60',
    'login=9999999999/1m', 'logout=5/1m', 'Login=5/1m', 'constructor=5/1m', 'login=5/1m,', 'login=5/1m;refresh=5/1m', 'off,login=5/1m', 'login=5/1m,off'
  ],
  LATCHKEY_TRUST_PROXY: [
    'true', '1', '*', 'loopback', 'proxy.example', '10.0.0', '10.0.0.256', '010.0.0.1', '10.0.0.0/33', '::/129', '10.9.0.0/', '10.0.0.0/-1', '10.0.0.0/8/8', '10.0.0.0/255.0.0.0', '10.0.0.1:80', '[::1]',
    '10.0.0.1;10.0.0.2', '127.0.0.1,true'
  ],
  LATCHKEY_COOKIES: [...notChoices, 'ON', 'yes', '1'],
  LATCHKEY_CORS_ORIGINS: [
    '*', 'null', 'true', 'web.example.com', 'https://*.example.com', 'https://app.example.com/', 'https://app.example.com/app', 'https://app.example.com?x', 'https://sentinel@app.example.com', 'https://App.example.com',
    'https://app.example.com:443', 'http://app.example.com:80', 'ftp://app.example.com', 'file:///app', 'https://bücher.example', 'https://a.example https://b.example', 'https://a.example,*'
  ],
  LATCHKEY_DOCS: [...notChoices, 'OFF', 'no'],
  LATCHKEY_SIMPLE_JWT: [...notChoices, 'ON', '1'],
  LATCHKEY_SIMPLE_JWT_PREFIX: [
    ' ', '/', 'token', '/auth/jwt/', '//auth/jwt', '/auth//jwt', '/auth/:jwt', '/auth/*', '/auth/jwt?x', '/auth/jwt#x', '/a b', '/../auth', '/.well-known', '/%61uth', '/ünïcöde', `/${'a'.repeat(100)}`,
    '/login', '/logout/all', '/docs/jwt', '/openapi.json'
  ],
  LATCHKEY_REQUEST_TIMEOUT: [...notDurations, '0s', '999ms', '301s'],
  LATCHKEY_SHUTDOWN_DELAY: [...notDurations, '301s'],
  LATCHKEY_AUDIT_RETENTION: [...notDurations, '59m', '3651d'],
  LATCHKEY_METRICS: [' ', 'on', '9464', ':9464', ' :9464', 'localhost', 'localhost:', 'localhost:65536', 'localhost:-1', 'localhost:123456', 'local host:9464', '[]:9464', '[::1]', 'http://localhost:9464/metrics', 'localhost:9464 ']
}

t.strictSame(Object.keys(bad), names, 'every setting is looked at')

for (const [name, values] of Object.entries(bad)) {
  t.test(`${name} of another form → ConfigError: one line that names it, tells what is expected, and does not repeat the value`, async (t) => {
    for (const value of values) {
      const message = complaint({ [name]: value })
      t.match(message, new RegExp(`^${name}: expected [^\n]+$`), JSON.stringify(value))
      if (value.length > 6) t.notOk(message.includes(value), JSON.stringify(value))
      t.notMatch(message, /sentinel/)
    }
  })
}

t.test('an unknown LATCHKEY_ name → ConfigError with the nearest known one', async (t) => {
  const nearest = {
    LATCHKEY_SECRT: 'LATCHKEY_SECRET',
    LATCHKEY_ACCESS_TOKEN_TTL: 'LATCHKEY_ACCESS_TTL',
    LATCHKEY_PUBLIC_URI: 'LATCHKEY_PUBLIC_URL',
    LATCHKEY_bcrypt_cost: 'LATCHKEY_BCRYPT_COST',
    LATCHKEY_AUDIENCES: 'LATCHKEY_AUDIENCE',
    LATCHKEY_DATABASE_URI: 'DATABASE_URL',
    ...Object.fromEntries(['HOST', 'PORT', 'LOG_LEVEL', 'DATABASE_URL', 'REDIS_URL'].map((name) => [`LATCHKEY_${name}`, name]))
  }
  for (const [name, meant] of Object.entries(nearest)) {
    for (const value of ['sentinel', '']) t.equal(complaint({ [name]: value }), `${name}: no such setting; did you mean ${meant}?`)
  }
})

t.test('an unknown LATCHKEY_ name that is like no other → ConfigError with where they all are', async (t) => {
  for (const name of ['LATCHKEY_', 'LATCHKEY_ISSUER', 'LATCHKEY_NODE_ENV', 'LATCHKEY_REFRESH_TTL']) {
    t.equal(complaint({ [name]: 'sentinel' }), `${name}: no such setting; latchkey config shows them all`)
  }
})

t.test('a LATCHKEY_ name with more in it than a name has → ConfigError without a word of it', async (t) => {
  for (const name of ['LATCHKEY_SECRET: sentinel', 'LATCHKEY_SECRET sentinel', 'LATCHKEY_SECRET: sentinel\nPORT']) {
    t.equal(complaint({ [name]: '1' }), 'LATCHKEY_…: expected names of letters, digits and _')
  }
})

t.test('what Kubernetes injects for a service called latchkey, and names of others → let through', async (t) => {
  const injected = {
    LATCHKEY_SERVICE_HOST: '10.0.0.1',
    LATCHKEY_SERVICE_PORT: '3000',
    LATCHKEY_SERVICE_PORT_HTTP: '3000',
    LATCHKEY_PORT: 'tcp://10.0.0.1:3000',
    LATCHKEY_PORT_3000_TCP: 'tcp://10.0.0.1:3000',
    LATCHKEY_PORT_3000_TCP_ADDR: '10.0.0.1',
    PATH: '/bin',
    XLATCHKEY_SECRT: 'x',
    constructor: 'x',
    __proto__: 'x'
  }
  t.strictSame(loadConfig(injected), loadConfig({}))
})

t.test('LATCHKEY_PORT with what a person writes → ConfigError: Kubernetes writes a URL', async (t) => {
  for (const LATCHKEY_PORT of ['4351', '', 'http://10.0.0.1:3000', 'x tcp://10.0.0.1:3000']) t.match(complaint({ LATCHKEY_PORT }), /^LATCHKEY_PORT: no such setting/)
  for (const LATCHKEY_PORT of ['tcp://10.0.0.1:3000', 'udp://[fd00::1]:3000', 'sctp://10.0.0.1:3000']) t.equal(complaint({ LATCHKEY_PORT }), '')
})

t.test('settings that contradict each other → ConfigError that names one of them', async (t) => {
  const contradictions: [NodeJS.ProcessEnv, string][] = [
    [{ LATCHKEY_SESSION_IDLE: '31d' }, 'LATCHKEY_SESSION_IDLE: expected no more than LATCHKEY_SESSION_MAX'],
    [{ LATCHKEY_SESSION_MAX: '13d' }, 'LATCHKEY_SESSION_IDLE: expected no more than LATCHKEY_SESSION_MAX'],
    [{ LATCHKEY_ACCESS_TTL: '2h', LATCHKEY_SESSION_IDLE: '1h' }, 'LATCHKEY_ACCESS_TTL: expected no more than LATCHKEY_SESSION_IDLE'],
    [{ LATCHKEY_REFRESH_GRACE: '11s', LATCHKEY_REFRESH_RECOVERY: '10s' }, 'LATCHKEY_REFRESH_GRACE: expected no more than LATCHKEY_REFRESH_RECOVERY'],
    ...['http://auth.example', 'http://localhost.example', 'http://localhost.example/https:', 'http://10.0.0.1:3000'].map((publicUrl): [NodeJS.ProcessEnv, string] =>
      [{ LATCHKEY_COOKIES: 'on', LATCHKEY_PUBLIC_URL: publicUrl }, 'LATCHKEY_COOKIES: expected LATCHKEY_PUBLIC_URL to be https, or http on localhost']),
    [{ LATCHKEY_SECRET: SECRET, LATCHKEY_SECRET_FALLBACKS: `${OTHER_SECRET},${SECRET}` }, 'LATCHKEY_SECRET_FALLBACKS: expected earlier secrets, not LATCHKEY_SECRET itself'],
    ...['HS256', 'HS384', 'HS512'].map((algorithm): [NodeJS.ProcessEnv, string] =>
      [{ LATCHKEY_ALGORITHM: algorithm }, `LATCHKEY_HS_SECRET: expected with ${algorithm}; openssl rand -base64 48 makes one`]),
    [{ LATCHKEY_ALGORITHM: 'HS384', LATCHKEY_HS_SECRET: SECRET }, 'LATCHKEY_HS_SECRET: expected at least 48 bytes for HS384'],
    [{ LATCHKEY_ALGORITHM: 'HS384', LATCHKEY_HS_SECRET: MIDDLE_SECRET.slice(1) }, 'LATCHKEY_HS_SECRET: expected at least 48 bytes for HS384'],
    [{ LATCHKEY_ALGORITHM: 'HS512', LATCHKEY_HS_SECRET: LONG_SECRET.slice(0, 63) }, 'LATCHKEY_HS_SECRET: expected at least 64 bytes for HS512'],
    [{ LATCHKEY_HS_SECRET: LONG_SECRET }, 'LATCHKEY_HS_SECRET: expected with HS256, HS384 or HS512 alone; in LATCHKEY_HS_SECRET_FALLBACKS it verifies with ES256 too'],
    [{ LATCHKEY_ALGORITHM: 'HS256', LATCHKEY_HS_SECRET: SECRET, LATCHKEY_HS_SECRET_FALLBACKS: SECRET }, 'LATCHKEY_HS_SECRET_FALLBACKS: expected earlier secrets, not LATCHKEY_HS_SECRET itself'],
    ...['LATCHKEY_SECRET', 'LATCHKEY_SECRET_FALLBACKS', 'LATCHKEY_PASSWORD_PEPPER', 'LATCHKEY_PASSWORD_PEPPER_FALLBACKS'].flatMap((name): [NodeJS.ProcessEnv, string][] => [
      [{ LATCHKEY_ALGORITHM: 'HS256', LATCHKEY_HS_SECRET: SECRET, [name]: SECRET }, SECRET_OF_ITS_OWN],
      [{ LATCHKEY_HS_SECRET_FALLBACKS: `${OTHER_SECRET},${SECRET}`, [name]: SECRET }, SECRET_OF_ITS_OWN]
    ])
  ]
  for (const [env, message] of contradictions) t.equal(complaint(env), message)

  const consistent: NodeJS.ProcessEnv[] = [
    { LATCHKEY_ACCESS_TTL: '1h', LATCHKEY_SESSION_IDLE: '1h', LATCHKEY_SESSION_MAX: '1h' },
    { LATCHKEY_REFRESH_GRACE: '10s', LATCHKEY_REFRESH_RECOVERY: '10s' },
    { LATCHKEY_REFRESH_GRACE: '5m', LATCHKEY_REFRESH_RECOVERY: '0s' },
    ...['https://auth.example/auth', 'http://localhost', 'http://localhost:8080/auth', 'http://127.0.0.1:3000', 'http://[::1]:3000'].map((publicUrl) =>
      ({ LATCHKEY_COOKIES: 'on', LATCHKEY_PUBLIC_URL: publicUrl })),
    { LATCHKEY_SECRET: SECRET, LATCHKEY_SECRET_FALLBACKS: OTHER_SECRET },
    { LATCHKEY_SECRET: OTHER_SECRET, LATCHKEY_ALGORITHM: 'HS256', LATCHKEY_HS_SECRET: 'x7-Äpfel+Ölzeug_überQ3#zK9wNv' },
    { LATCHKEY_ALGORITHM: 'HS384', LATCHKEY_HS_SECRET: MIDDLE_SECRET, LATCHKEY_HS_SECRET_FALLBACKS: `${SECRET},${LONG_SECRET}` },
    { LATCHKEY_ALGORITHM: 'HS512', LATCHKEY_HS_SECRET: LONG_SECRET.slice(0, 64) }
  ]
  for (const env of consistent) t.equal(complaint(env), '')
})

t.test('several settings at fault → ConfigError with a line for each', async (t) => {
  t.strictSame(complaint({ LATCHKEY_SECRT: 'x', LATCHKEY_ISSUER: 'x', PORT: 'abc', LATCHKEY_ACCESS_TTL: '9' }).split('\n'), [
    'LATCHKEY_SECRT: no such setting; did you mean LATCHKEY_SECRET?',
    'LATCHKEY_ISSUER: no such setting; latchkey config shows them all',
    'PORT: expected a whole number from 0 to 65535',
    'LATCHKEY_ACCESS_TTL: expected a duration from 5s to 24h, such as 90s, 15m, 12h or 30d'
  ])
  t.strictSame(complaint({ LATCHKEY_SESSION_MAX: '5m', LATCHKEY_SESSION_IDLE: '10m' }).split('\n'), [
    'LATCHKEY_SESSION_IDLE: expected no more than LATCHKEY_SESSION_MAX',
    'LATCHKEY_ACCESS_TTL: expected no more than LATCHKEY_SESSION_IDLE'
  ])
})

t.test('a secret that is long enough but not random → ConfigError that says what else is asked', async (t) => {
  for (const secret of ['a'.repeat(40), 'changeme-changeme-changeme-changeme']) {
    t.equal(complaint({ LATCHKEY_SECRET: secret }), 'LATCHKEY_SECRET: expected at least 32 random bytes, 12 different ones among them and no well-known phrase (make them with: openssl rand -base64 48)')
  }
})

t.test('a random secret, as the message advises to make one, is taken', async () => {
  const base64 = fc.uint8Array({ minLength: 48, maxLength: 48 }).filter((bytes) => new Set(bytes).size > 24)
  const words = /changeme|example|sample|password|secret|qwerty|latchkey/i
  fc.assert(fc.property(base64, (bytes) => {
    const secret = Buffer.from(bytes).toString('base64')
    if (!words.test(secret.replace(/[+/]/g, '')) && loadConfig({ LATCHKEY_SECRET: secret }).secret !== secret) throw new Error('refused')
  }))
})

t.test('a duration → its milliseconds, in whichever unit', async () => {
  const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
  const amount = fc.integer({ min: 0, max: 30 * 86_400_000 })
  fc.assert(fc.property(amount, fc.constantFrom(...Object.entries(units)), (milliseconds, [unit, size]) => {
    const count = Math.floor(milliseconds / size)
    const { refreshRecovery } = loadConfig({ LATCHKEY_REFRESH_GRACE: '0s', LATCHKEY_REFRESH_RECOVERY: `${count}${unit}` })
    if (refreshRecovery !== count * size) throw new Error(`${count}${unit} is ${refreshRecovery}`)
  }))
})

t.test('no text makes loadConfig throw anything but a ConfigError of one line for each setting, and no secret is in it', async () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme', maxLength: 300 }), fc.webUrl(), fc.stringMatching(/^\d{1,10}(ms|s|m|h|d|x)?$/), fc.constantFrom(...Object.values(bad).flat()))
  const name = fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...names) }, fc.string({ maxLength: 8 }).map((tail) => `LATCHKEY_${tail.replace(/\s/g, '')}`))
  fc.assert(fc.property(fc.dictionary(name, text, { maxKeys: 4, noNullPrototype: true }), (env) => {
    const message = complaint(env)
    if (!message.split('\n').every((line) => /^$|^[\w…]+: ./.test(line))) throw new Error('a line without a setting')
    for (const [key, value] of Object.entries(env)) {
      if (/SECRET|PEPPER/.test(key) && value.trim().length > 6 && message.includes(value)) throw new Error('the secret is told')
    }
  }), { numRuns: 1_000 })
})

t.test('without an environment given → that of the process, and .env where it lacks something', async (t) => {
  t.chdir(folder(t))
  const before = { ...process.env }
  t.teardown(() => {
    for (const name of [...names, 'FROM_FILE']) delete process.env[name]
    Object.assign(process.env, before)
  })
  process.env['PORT'] = '4000'
  t.match(loadConfig(), { port: 4000, algorithm: 'ES256' })
  writeFileSync('.env', '# a comment\nPORT=5000\nLATCHKEY_ALGORITHM="EdDSA"\n\nLATCHKEY_BCRYPT_COST=9 # cheap\nFROM_FILE=x\n')
  t.match(loadConfig(), { port: 4000, algorithm: 'EdDSA', bcryptCost: 9 })
  writeFileSync('.env', 'LATCHKEY_ALGORITM=EdDSA\n')
  t.throws(() => loadConfig(), new ConfigError('LATCHKEY_ALGORITM: no such setting; did you mean LATCHKEY_ALGORITHM?'))
  delete process.env['LATCHKEY_ALGORITM']
  rmSync('.env')
  mkdirSync('.env')
  t.throws(() => loadConfig(), new ConfigError('.env: expected a file that can be read'))
})

t.test('a .env with a line that is no NAME=value → ConfigError with its number, and without a word of it', async (t) => {
  t.chdir(folder(t))
  const wrong: [string, number][] = [
    ['LATCHKEY_SECRET: sentinel\n', 1], ['# a comment\n\nPORT=1\nDATABASE_URL: postgres://ada:sentinel@db/x?sslmode=verify-full\nHOST=::1\n', 4],
    ['A=1\r\n# it\'s said\r\nsentinel\r\n', 3], ['A="two\nlines"\nB=\'three\n\nlines\' # said\nsentinel\n', 6], ['\ufeffPORT=sentinel', 1], ['=sentinel', 1], ['A=`b`\nexport sentinel', 2]
  ]
  for (const [text, line] of wrong) {
    writeFileSync('.env', text)
    t.throws(() => loadConfig(), new ConfigError(`.env: expected lines of the form NAME=value; line ${line} is of another`), text)
  }
})

t.test('a .env with comments, quotes, several lines in quotes and names of others → read', async (t) => {
  t.chdir(folder(t))
  const names = ['FROM_FILE', 'from.file', 'FROM_FILE_2', 'FROM_FILE_3']
  t.teardown(() => { for (const name of names) delete process.env[name] })
  writeFileSync('.env', '\r\n# said: =\r\n  export FROM_FILE = "two\nlines" # said\r\nfrom.file=it\'s: said\r\nFROM_FILE_2=`a\n\'b\'`\nFROM_FILE_3=')
  loadConfig()
  t.match(process.env, { FROM_FILE: 'two\nlines', 'from.file': 'it\'s: said', FROM_FILE_2: 'a\n\'b\'' })
})

t.test('a database as it is shown to people → its path, or its server and name without the user, the password and the parameters', async (t) => {
  t.equal(shownAddress({ path: '/var/lib/latchkey.db' }), '/var/lib/latchkey.db')
  t.equal(shownAddress({ url: 'postgres://ada:sentinel@db.example:5433/latchkey?password=sentinel' }), 'postgres://db.example:5433/latchkey')
})
