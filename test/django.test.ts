import type { FastifyInstance } from 'fastify'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { rotateKey } from '../src/key-rotation.ts'
import { build, fakeClock, folder, login, PASSWORD, register, settings } from './fixtures/app.ts'
import { sql } from './fixtures/accounts.ts'
import { djangoUsers, startDjango, withDjango } from './fixtures/django-service.ts'
import { decode, secretsOf } from './fixtures/forge.ts'

/** Both sides of the comparison are asked over HTTP, by the same code. */
interface Answer {
  status: number
  challenge: string | null
  body: string
}

interface Sent {
  url: string
  type?: string
  body?: string | FormData
  method?: string
}

const json = (url: string, body: unknown): Sent => ({ url, type: 'application/json', body: JSON.stringify(body) })

async function ask (base: string, { url, type, body, method = 'POST' }: Sent): Promise<Answer> {
  const response = await fetch(base + url, { method, ...(body !== undefined && { body }), ...(type !== undefined && { headers: { 'content-type': type } }) })
  return { status: response.status, challenge: response.headers.get('www-authenticate'), body: await response.text() }
}

/** Its tokens are nobody else's to make. */
function withoutTokens ({ body, ...answer }: Answer): Answer {
  return { ...answer, body: body.replace(/"[\w-]+\.[\w-]+\.[\w-]+"/g, '"a token"') }
}

/** Up to 5.4 Simple JWT had one text for both; those of today are ours. */
function asToday (ours: Answer, theirs: Answer): Answer {
  const found = /Token is (invalid|expired)(?=")/.exec(ours.body)?.[0]
  return found === undefined ? theirs : { ...theirs, body: theirs.body.replace('Token is invalid or expired', found) }
}

/** Makes `app` listen, with those whom Django knows: `ada` with her id there, and `off`, who is disabled. */
async function serve (app: FastifyInstance, path: string): Promise<string> {
  for (const { id, username } of djangoUsers) {
    await register(app, username)
    sql(path, 'UPDATE users SET external_id = ? WHERE username = ?', String(id), username)
  }
  sql(path, 'UPDATE users SET disabled_at = ? WHERE username = ?', Date.now(), 'off')
  return await app.listen({ port: 0, host: '127.0.0.1' })
}

/** The settings that docs/django.md tells to make, with these parts of their values replaced. */
function documented (replaced: Record<string, string>): Record<string, string> {
  const [, block = ''] = /^SIMPLE_JWT = \{\n(.*?)^\}/ms.exec(readFileSync('docs/django.md', 'utf8')) ?? []
  const settings = [...block.matchAll(/'(\w+)': '([^']+)'/g)].map(([, name = '', value = '']) => [name, value] as const)
  return Object.fromEntries(settings.map(([name, value]) => {
    const [from, to] = Object.entries(replaced).find(([from]) => value.startsWith(from)) ?? ['', '']
    return [name, value.replace(from, to)]
  }))
}

t.test('beside the real Simple JWT', withDjango, async (t) => {
  const path = folder(t)
  // A retry within the grace time gets an answer here, which is one of the differences.
  const app = await build(t, { path, env: { LATCHKEY_SIMPLE_JWT: 'on', LATCHKEY_REFRESH_GRACE: '0s', LATCHKEY_REFRESH_RECOVERY: '0s' } })
  const [ours, theirs] = await Promise.all([serve(app, path), startDjango(t, { ROTATE_REFRESH_TOKENS: true, BLACKLIST_AFTER_ROTATION: true })])

  async function same (t: Test, about: string, sent: Sent) {
    const here = withoutTokens(await ask(ours, sent))
    t.strictSame(here, asToday(here, withoutTokens(await ask(theirs, sent))), about)
  }

  /** The same call with the tokens of each side. */
  async function sameWith (t: Test, about: string, [mine, others]: [string, string], call: (token: string) => Sent) {
    const here = withoutTokens(await ask(ours, call(mine)))
    t.strictSame(here, asToday(here, withoutTokens(await ask(theirs, call(others)))), about)
  }

  const credentials = { username: 'ada', password: PASSWORD }
  const form = new FormData()
  for (const [name, value] of Object.entries(credentials)) form.append(name, value)
  const refresh = (token: string) => json('/api/token/refresh/', { refresh: token })
  const verify = (token: string) => json('/api/token/verify/', { token })
  const blacklist = (token: string) => json('/api/token/blacklist/', { refresh: token })

  async function obtain () {
    const [mine, others] = await Promise.all([ours, theirs].map(async (base) => JSON.parse((await ask(base, json('/api/token/', credentials))).body)))
    return { refresh: [mine.refresh, others.refresh] as [string, string], access: [mine.access, others.access] as [string, string] }
  }

  t.test('POST /api/token/ → the same status, challenge and body, byte for byte', async (t) => {
    await same(t, 'good credentials', json('/api/token/', credentials))
    await same(t, 'with a field that nobody asked for', json('/api/token/', { ...credentials, remember: true }))
    await same(t, 'white space around the name', json('/api/token/', { ...credentials, username: ' ada ' }))
    await same(t, 'as a form', { url: '/api/token/', type: 'application/x-www-form-urlencoded', body: new URLSearchParams({ ...credentials }).toString() })
    await same(t, 'a field twice', { url: '/api/token/', type: 'application/x-www-form-urlencoded', body: `username=x&${new URLSearchParams({ ...credentials })}` })
    await same(t, 'as a form in parts', { url: '/api/token/', body: form })
    for (const who of [{ username: 'ada', password: 'x' }, { username: 'nobody', password: 'x' }, { username: 'off', password: PASSWORD }, { username: 1, password: 1.5 }]) await same(t, JSON.stringify(who), json('/api/token/', who))
    for (const value of [undefined, null, '', true, ['x'], { a: 1 }, 'a\0b', '\ud800']) {
      await same(t, `fields of ${JSON.stringify(value)}`, json('/api/token/', { username: value, password: value }))
      await same(t, `a password of ${JSON.stringify(value)}`, json('/api/token/', { ...credentials, password: value }))
    }
    for (const body of [null, [], 'x', 1, 1.5, true]) await same(t, `a body of ${JSON.stringify(body)}`, json('/api/token/', body))
    await same(t, 'no body', { url: '/api/token/' })
  })

  t.test('POST /api/token/refresh/, /verify/ and /blacklist/ → the same status, challenge and body, byte for byte', async (t) => {
    for (const call of [refresh, verify, blacklist]) {
      for (const token of ['x', '', 'a.b.c', ' ']) await same(t, JSON.stringify(call(token)), call(token))
    }
    const pair = await obtain()
    await sameWith(t, 'an access token to refresh with', pair.access, refresh)
    await sameWith(t, 'an access token to blacklist', pair.access, blacklist)
    for (const token of [pair.refresh, pair.access]) await sameWith(t, 'a good token', token, verify)
    await sameWith(t, 'refreshed', pair.refresh, (token) => refresh(` ${token} `))
    await sameWith(t, 'used, and verified', pair.refresh, verify)
    await sameWith(t, 'used, and blacklisted', pair.refresh, blacklist)
    await sameWith(t, 'used, and used again', pair.refresh, refresh)
    const other = await obtain()
    await sameWith(t, 'blacklisted', other.refresh, blacklist)
    await sameWith(t, 'blacklisted twice', other.refresh, blacklist)
    await sameWith(t, 'blacklisted, and refreshed', other.refresh, refresh)
  })

  t.test('/api/token/… with another method → 405, byte for byte', async (t) => {
    for (const url of ['/api/token/', '/api/token/refresh/', '/api/token/verify/', '/api/token/blacklist/']) {
      for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) await same(t, `${method} ${url}`, { url, method })
    }
  })

  t.test('what is different on purpose: a row of docs/django.md each', async (t) => {
    const { access, refresh: tokens } = await obtain()
    const used = JSON.parse((await ask(ours, refresh(tokens[0]))).body)
    t.equal((await ask(ours, refresh(tokens[0]))).status, 401, 'a copy of a token that was used')
    t.equal((await ask(ours, refresh(used.refresh))).status, 401, 'ends the session here')
    const successor = JSON.parse((await ask(theirs, refresh(tokens[1]))).body)
    t.equal((await ask(theirs, refresh(tokens[1]))).status, 401)
    t.equal((await ask(theirs, refresh(successor.refresh))).status, 200, 'and there the thief goes on')
    t.strictSame([(await ask(ours, verify(access[0]))).status, (await ask(theirs, verify(access[1]))).status], [400, 200], 'an access token after the end of its session')
    const trailing = json('/api/token/', { ...credentials, password: `${PASSWORD} ` })
    t.strictSame([(await ask(ours, trailing)).status, (await ask(theirs, trailing)).status], [401, 200], 'a space at the end of a password')
    const withoutSlash = json('/api/token', credentials)
    t.strictSame([(await ask(ours, withoutSlash)).status, (await ask(theirs, withoutSlash)).status !== 200], [200, true], 'a path without its slash')
  })
})

t.test('a Django service with the real Simple JWT, under the settings of docs/django.md', withDjango, async (t) => {
  const path = folder(t)
  const clock = fakeClock(Date.now())
  const app = await build(t, { path, env: { LATCHKEY_SIMPLE_JWT: 'on' }, now: clock.now })
  const latchkey = await serve(app, path)
  const django = await startDjango(t, documented({ 'https://auth.example.com/': `${latchkey}/`, 'https://auth.example.com': 'http://localhost:3000' }))
  const call = async (token?: string) => {
    const response = await fetch(`${django}/api/user/`, { headers: token === undefined ? {} : { Authorization: `Bearer ${token}` } })
    return { status: response.status, body: await response.json() }
  }
  const refused = (message: string) => ({
    status: 401, body: { detail: 'Given token not valid for any token type', code: 'token_not_valid', messages: [{ token_class: 'AccessToken', token_type: 'access', message }] }
  })

  t.test('an access token of somebody who was imported → 200, as the user of the old id', async (t) => {
    t.strictSame(await call((await login(app)).access_token), { status: 200, body: { id: 42, username: 'ada' } })
  })

  t.test('a refresh token, a token that was altered, expired, unsigned or made by somebody else, and none → 401', async (t) => {
    const { access_token: access, refresh_token: token } = await login(app)
    const [header = '', payload = '', signature = ''] = access.split('.')
    const claims = { ...decode(access).payload, user_id: '43' }
    const altered = Buffer.from(JSON.stringify(claims)).toString('base64url')
    const unsigned = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')
    for (const bad of [token, `${header}.${altered}.${signature}`, `${header}.${payload}.${'A'.repeat(86)}`, `${unsigned}.${payload}.`, 'x']) {
      t.strictSame(await call(bad), refused('Token is invalid or expired'), bad.slice(0, 40))
    }
    clock.advance(-3_600_000)
    t.strictSame(await call((await login(app)).access_token), refused('Token is invalid or expired'), 'it expired three quarters of an hour ago')
    clock.advance(3_600_000)
    t.strictSame(await call(), { status: 401, body: { detail: 'Authentication credentials were not provided.' } })
  })

  t.test('an access token of somebody who came later has no id of Django\'s → 401', async (t) => {
    await register(app, 'later')
    t.match(await call((await login(app, 'later')).access_token), { status: 401, body: { detail: 'Token contained no recognizable user identification' } })
  })

  t.test('a signing key that came later is fetched by its kid → 200', async (t) => {
    const before = (await login(app)).access_token
    t.ok(await rotateKey({ store: app.db.store, secrets: secretsOf(path), settings: settings(path), now: clock.now }, { immediately: true }))
    await app.keys.reload()
    const after = (await login(app)).access_token
    t.not(decode(after).header['kid'], decode(before).header['kid'])
    for (const token of [after, before]) t.match(await call(token), { status: 200 })
  })

  t.test('the calls of the first tutorial: log in at Latchkey, ask Django, refresh at Latchkey, ask Django → 200', async (t) => {
    async function send (url: string, body: object): Promise<Record<string, string>> {
      const response = await fetch(latchkey + url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
      return Object(await response.json())
    }

    t.equal((await call()).status, 401)
    const tokens = await send('/api/token/', { username: 'ada', password: PASSWORD })
    t.match(await call(tokens['access']), { status: 200, body: { username: 'ada' } })
    const { access } = await send('/api/token/refresh/', { refresh: tokens['refresh'] })
    t.not(access, tokens['access'])
    t.match(await call(access), { status: 200, body: { username: 'ada' } })
  })
})
