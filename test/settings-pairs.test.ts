import type { FastifyInstance } from 'fastify'
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { Settings } from '../src/config/settings.ts'
import { isInvalid, isProblem, tokensAnswer } from './fixtures/accounts.ts'
import { build, getPrivate, login, PASSWORD, post, refresh } from './fixtures/app.ts'
import { encode } from './fixtures/forge.ts'
import { userRow } from './fixtures/rows.ts'
import { times } from './fixtures/sockets.ts'

const PAGE = 'https://app.example.com'
const secret = () => randomBytes(48).toString('base64')

/** What somebody may set; each is otherwise unless they do. */
const choices: NodeJS.ProcessEnv[] = [
  { LATCHKEY_DOCS: 'off' }, { LATCHKEY_COOKIES: 'on' }, { LATCHKEY_CORS_ORIGINS: PAGE }, { LATCHKEY_SIMPLE_JWT: 'on' }, { LATCHKEY_RATE_LIMIT: 'off' }, { LATCHKEY_METRICS: '127.0.0.1:0' },
  { LATCHKEY_REGISTRATION: 'closed' }, { LATCHKEY_REFRESH_ROTATION: 'off' }, { LATCHKEY_REFRESH_GRACE: '0s' }, { LATCHKEY_REFRESH_RECOVERY: '0s' }, { LATCHKEY_LEEWAY: '5m' },
  { LATCHKEY_ALGORITHM: 'HS256', LATCHKEY_HS_SECRET: secret() }, { LATCHKEY_PASSWORD_PEPPER: secret() }, { LATCHKEY_TRUST_PROXY: '10.0.0.0/8' }, { LATCHKEY_PUBLIC_URL: 'https://auth.example.com' }
]

const ROWS = 6
const bits = (number: number) => times(ROWS, (row) => number >> row & 1)
/** Of six rows, every four: fifteen, one for each choice. */
const fours = times(2 ** ROWS, bits).filter((rows) => rows.filter(Boolean).length === 4)

/**
 * Combinations in which any two choices are seen both made, both not made, and each without the other: in one nothing is chosen, in
 * each other what its own four rows say. Two such fours have a row in common, and each has one that the other lacks
 * (Kleitman and Spencer, 1973). For more than fifteen choices let there be seven rows.
 */
const combinations = [[], ...times(ROWS, (row) => choices.filter((_, i) => fours[i]?.[row]))]

t.test('any two settings are tried in all four combinations, and every switch is among them', async (t) => {
  const pairs = choices.flatMap((one, i) => choices.slice(i + 1).map((other) => [one, other] as const))
  t.equal(pairs.length, 105)
  for (const [one, other] of pairs) {
    const seen = new Set(combinations.map((made) => `${made.includes(one)} ${made.includes(other)}`))
    t.equal(seen.size, 4, `${Object.keys(one)}, ${Object.keys(other)}`)
  }
  const switches = Object.values(Settings.properties).filter(({ default: value }) => /^(on|off|open)$/.test(String(value))).map(({ env }) => String(env))
  t.ok(switches.length > 4)
  t.strictSame(switches.filter((name) => !choices.some((choice) => name in choice)), [])
})

interface Service {
  app: FastifyInstance
  env: NodeJS.ProcessEnv
  own: string
}

async function start (t: Test, env: NodeJS.ProcessEnv): Promise<Service> {
  const app = await build(t, { env: { LATCHKEY_RATE_LIMIT: '', ...env } })
  const passwordHash = await app.passwords.hash(PASSWORD)
  for (const [i, name] of ['ada', 'bob'].entries()) await app.db.store.insertUser(userRow(name, { id: `0199d0c3-0000-7000-8000-00000000000${i}`, passwordHash }))
  return { app, env, own: env['LATCHKEY_PUBLIC_URL'] ?? 'http://localhost:3000' }
}

for (const made of combinations) {
  const env: NodeJS.ProcessEnv = Object.assign({}, ...made)
  const names = Object.keys(env).map((name) => name.replace('LATCHKEY_', ''))
  t.test(`with ${names.join(', ') || 'nothing'} set → what is refused elsewhere is refused: 400, 401, 403, 404, 429`, async (t) => {
    const service = await start(t, env)
    await badTokens(t, service)
    await usedTokens(t, service)
    await crossSite(t, service)
    await bodies(t, service)
    await whatIsOff(t, service)
    await headers(t, service)
    await guesses(t, service)
  })
}

async function badTokens (t: Test, { app }: Service) {
  const tokens = await login(app)
  const [, payload = '', signature = ''] = tokens.access_token.split('.')
  t.strictSame(await tokensAnswer(app, tokens), { access: 200, refresh: 200 })
  for (const bad of ['garbage', `${encode({ alg: 'none' })}.${payload}.`, tokens.refresh_token, tokens.access_token.replace(signature, encode(Buffer.alloc(64)))]) {
    isProblem(t, await getPrivate(app, bad), 'invalid_token')
  }
  isProblem(t, await app.inject('/private'), 'missing_token')
  t.equal((await post(app, '/logout', { refresh_token: tokens.refresh_token })).statusCode, 204)
  t.strictSame(await tokensAnswer(app, tokens), { access: 401, refresh: 401 }, 'after the logout')
}

/** One that two others came after ends its session; where nothing rotates there is one alone. */
async function usedTokens (t: Test, { app, env }: Service) {
  const first = await login(app)
  const second = (await refresh(app, first.refresh_token)).json()
  const third = (await refresh(app, second.refresh_token)).json()
  t.equal(third.refresh_token === first.refresh_token, 'LATCHKEY_REFRESH_ROTATION' in env)
  if ('LATCHKEY_REFRESH_ROTATION' in env) return
  isProblem(t, await refresh(app, first.refresh_token), 'invalid_refresh_token')
  t.strictSame(await tokensAnswer(app, third), { access: 401, refresh: 401 }, 'after the replay')
}

async function crossSite (t: Test, { app, env, own }: Service) {
  const credentials = { username: 'ada', password: PASSWORD, transport: 'cookie' }
  if (!('LATCHKEY_COOKIES' in env)) return isInvalid(t, await post(app, '/login', credentials, { origin: own }), { '/transport': 'format' })
  const [{ name, value } = { name: '', value: '' }] = (await post(app, '/login', credentials, { origin: own })).cookies
  const send = (url: string, headers: Record<string, string>) => app.inject({ method: 'POST', url, headers, cookies: { [name]: value } })
  for (const url of ['/refresh', '/logout']) {
    for (const headers of [{}, { origin: 'https://evil.example' }, { origin: own, 'sec-fetch-site': 'cross-site' }]) isProblem(t, await send(url, headers), 'csrf_rejected')
  }
  isProblem(t, await post(app, '/login', credentials), 'csrf_rejected')
  t.equal((await send('/refresh', { origin: PAGE })).statusCode, 'LATCHKEY_CORS_ORIGINS' in env ? 200 : 403)
  t.equal((await send('/logout', { origin: own })).statusCode, 204)
}

async function bodies (t: Test, { app, env }: Service) {
  const body = { username: 'carol', password: PASSWORD, is_admin: true }
  isInvalid(t, await post(app, '/login', body), { '/is_admin': 'unknown_field' })
  if ('LATCHKEY_REGISTRATION' in env) isProblem(t, await post(app, '/register', body), 'registration_closed')
  else isInvalid(t, await post(app, '/register', body), { '/is_admin': 'unknown_field' })
  isProblem(t, await app.inject({ method: 'POST', url: '/login', payload: JSON.stringify(body), headers: { 'content-type': 'text/plain' } }), 'unsupported_media_type')
}

async function whatIsOff (t: Test, { app, env }: Service) {
  for (const url of ['/docs', '/openapi.json', '/openapi.yaml']) t.equal((await app.inject(url)).statusCode, 'LATCHKEY_DOCS' in env ? 404 : 200, url)
  t.equal((await post(app, '/api/token/', {})).statusCode, 'LATCHKEY_SIMPLE_JWT' in env ? 400 : 404)
  isProblem(t, await app.inject('/metrics'), 'not_found', 'they have an address of their own')
}

async function headers (t: Test, { app, env }: Service) {
  for (const [url, origin] of [['/private', PAGE], ['/private', 'https://evil.example'], ['/nothing', PAGE], ['/livez', 'null']] as const) {
    const { headers } = await app.inject({ url, headers: { origin } })
    t.match(headers, { 'content-security-policy': "default-src 'none';frame-ancestors 'none'", 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' }, url)
    t.equal('strict-transport-security' in headers, 'LATCHKEY_PUBLIC_URL' in env, url)
    t.equal(headers['access-control-allow-origin'], 'LATCHKEY_CORS_ORIGINS' in env && origin === PAGE ? PAGE : undefined, url)
    t.equal('ratelimit-limit' in headers, !('LATCHKEY_RATE_LIMIT' in env) && url !== '/livez', url)
  }
}

/** Whatever address they claim to come from, and at whichever door. */
async function guesses (t: Test, { app, env }: Service) {
  const claims = (i: number) => ({ 'x-forwarded-for': `203.0.113.${i}` })
  for (let i = 0; i < 5; i++) isProblem(t, await post(app, '/login', { username: 'bob', password: 'wrong password' }, claims(i)), 'invalid_credentials')
  isProblem(t, await post(app, '/login', { username: 'bob', password: PASSWORD }, claims(5)), 'too_many_attempts')
  if ('LATCHKEY_SIMPLE_JWT' in env) t.equal((await post(app, '/api/token/', { username: 'bob', password: PASSWORD }, claims(6))).statusCode, 429)
}
