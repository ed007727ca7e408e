import { createPrivateKey, randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { select, sql } from './fixtures/accounts.ts'
import { folder, settings } from './fixtures/app.ts'
import { operations, type AnyOperation } from './fixtures/operations.ts'
import { ask } from './fixtures/process.ts'
import { dataIn, type Server, startServer } from './fixtures/server.ts'
import { signingKeyRow } from './fixtures/rows.ts'
import { exchange, get } from './fixtures/socket.ts'
import { unwrap } from '../src/keys.ts'
import { loadSecrets } from '../src/secrets.ts'

/**
 * Values that nobody may find in what the service prints or records. They are random, so that no path, word or id is like them;
 * whoever finds twelve characters of one has found it.
 */
const canaries = new Map<string, string>()
const FRAGMENT = 12

/** @param value made up unless it is given. */
function canary (name: string, value = randomBytes(20).toString('hex')): string {
  canaries.set(name, value)
  return value
}

/** A canary that is long and varied enough for a secret of the service. */
const secretCanary = (name: string) => canary(name, randomBytes(36).toString('base64url').replaceAll(/[-_]/g, 'x'))

/** The canaries of which a part is in a text: as it is, or as somebody would write it who encodes it. */
function found (text: string): string[] {
  return [...canaries].filter(([, value]) => formsOf(value).flatMap(fragmentsOf).some((fragment) => text.includes(fragment))).map(([name]) => name)
}

function formsOf (value: string): string[] {
  const bytes = Buffer.from(value)
  return [value, ...(['base64', 'base64url', 'hex'] as const).map((encoding) => bytes.toString(encoding))]
}

function fragmentsOf (form: string): string[] {
  return Array.from({ length: form.length - FRAGMENT + 1 }, (_, i) => form.slice(i, i + FRAGMENT))
}

const path = folder(t)
const env = {
  ...dataIn(path),
  LOG_LEVEL: 'trace',
  LATCHKEY_COOKIES: 'on',
  LATCHKEY_RATE_LIMIT: 'off',
  LATCHKEY_PUBLIC_URL: 'https://auth.example.com',
  LATCHKEY_SECRET: secretCanary('secret'),
  LATCHKEY_SECRET_FALLBACKS: secretCanary('earlier secret'),
  LATCHKEY_HS_SECRET_FALLBACKS: secretCanary('shared secret'),
  LATCHKEY_PASSWORD_PEPPER: secretCanary('pepper'),
  LATCHKEY_PASSWORD_PEPPER_FALLBACKS: secretCanary('earlier pepper')
}
const server = startServer(t, env)
const origin = await server.origin

const account = { username: canary('username'), email: `${canary('e-mail address')}@example.com`, password: canary('password') }

interface Sent {
  body?: object | string
  headers?: Record<string, string>
}

async function send (method: string, url: string, { body, headers = {} }: Sent = {}) {
  const response = await ask(origin + url, {
    method,
    headers: { ...(body && { 'content-type': 'application/json' }), ...headers },
    ...(body && { body: typeof body === 'string' ? body : JSON.stringify(body) })
  })
  return { status: response.status, cookie: response.headers.get('set-cookie'), text: await response.text() }
}

/** Of a token what opens something: payload and signature. The header is the same for all, and public. */
function tokenCanary (name: string, token: string): string {
  const [, payload = '', signature = ''] = token.split('.')
  canary(`payload of ${name}`, payload)
  canary(`signature of ${name}`, signature)
  return token
}

async function logIn (name: string, password = account.password) {
  const { text } = await send('POST', '/login', { body: { username: account.username, password } })
  const { access_token: access, refresh_token: refresh } = JSON.parse(text)
  return { access: tokenCanary(`access token of ${name}`, access), refresh: tokenCanary(`refresh token of ${name}`, refresh) }
}

const authorization = (token: string) => ({ authorization: `Bearer ${token}` })

t.test('a whole life: an account, its sessions in body and cookie, its passwords, right and wrong, its logouts', async (t) => {
  const is = async (status: number, answer: ReturnType<typeof send>) => {
    const { status: actual, ...rest } = await answer
    t.equal(actual, status)
    return rest
  }
  await is(201, send('POST', '/register', { body: account }))
  await is(409, send('POST', '/register', { body: account }))
  await is(401, send('POST', '/login', { body: { username: account.email, password: canary('wrong password') } }))
  const first = await logIn('the first login')
  const { text } = await is(200, send('POST', '/refresh', { body: { refresh_token: first.refresh } }))
  const second = tokenCanary('refresh token of the refresh', JSON.parse(text).refresh_token)
  await is(200, send('GET', '/private', { headers: authorization(first.access) }))
  await is(200, send('GET', `/me?access_token=${first.access}`, { headers: authorization(first.access) }))
  await is(200, send('GET', '/sessions', { headers: authorization(first.access) }))

  const { cookie } = await is(200, send('POST', '/login', { body: { ...account, email: undefined, transport: 'cookie' }, headers: { origin: env.LATCHKEY_PUBLIC_URL, 'sec-fetch-site': 'same-origin' } }))
  const kept = tokenCanary('cookie', /^__Host-latchkey=([^;]+)/.exec(cookie ?? '')?.[1] ?? '')
  await is(403, send('POST', '/refresh', { headers: { cookie: `__Host-latchkey=${kept}`, 'sec-fetch-site': 'cross-site' } }))

  const changed = { current_password: account.password, new_password: canary('new password') }
  await is(401, send('POST', '/password', { body: { ...changed, current_password: canary('another wrong password') }, headers: authorization(first.access) }))
  await is(204, send('POST', '/password', { body: changed, headers: authorization(first.access) }))
  const third = await logIn('the second login', changed.new_password)
  await is(401, send('POST', '/refresh', { body: { refresh_token: first.refresh.slice(0, -1) + (first.refresh.endsWith('A') ? 'B' : 'A') } }))
  await is(204, send('POST', '/logout', { body: { refresh_token: second } }))
  await is(204, send('POST', '/logout/all', { headers: authorization(third.access) }))
  for (let i = 0; i < 7; i++) await send('POST', '/login', { body: { username: account.username, password: canary('guess') } })
})

/** A text for every field, a name for another, and a text in every header that the service looks at and some that it does not. */
function hostile ({ name, body }: AnyOperation): Sent[] {
  const headers = {
    authorization: `Bearer ${canary(`bearer of ${name}`)}`,
    cookie: `__Host-latchkey=${canary(`cookie of ${name}`)}; ${canary(`name of a cookie of ${name}`)}=x`,
    'x-request-id': canary(`request id of ${name}`),
    'if-none-match': `"${canary(`tag of ${name}`)}"`,
    origin: `https://${canary(`origin of ${name}`)}.example`,
    referer: `https://referer.example/?${canary(`referer of ${name}`)}`,
    'x-forwarded-for': canary(`proxy of ${name}`),
    [`x-${canary(`name of a header of ${name}`)}`]: 'x'
  }
  const basic = { authorization: `Basic ${canary(`basic of ${name}`, randomBytes(24).toString('base64'))}` }
  if (body === undefined) return [{ headers }, { headers: basic }]
  const fields = Object.fromEntries(Object.keys(body.properties).map((field) => [field, canary(`${field} of ${name}`)]))
  const nested = Object.fromEntries(Object.keys(body.properties).map((field) => [field, { [canary(`name in ${field} of ${name}`)]: canary(`value in ${field} of ${name}`) }]))
  return [
    { headers, body: fields },
    { headers: basic, body: { ...fields, [canary(`field of ${name}`)]: canary(`value of ${name}`) } },
    { headers, body: nested },
    { headers, body: `{"${canary(`broken JSON of ${name}`)}":` },
    { headers: { ...headers, 'content-type': `application/json; charset=${canary(`charset of ${name}`)}` }, body: fields },
    { headers: { ...headers, 'content-type': `text/${canary(`type of ${name}`)}` }, body: canary(`text of ${name}`) },
    { headers, body: { padding: canary(`padding of ${name}`).repeat(500) } }
  ]
}

t.test('every call of openapi.yaml with canaries for whatever it takes → never a 5xx', async (t) => {
  for (const operation of operations) {
    for (const sent of hostile(operation)) {
      const { status } = await send(operation.method, `${operation.url}?${canary(`query of ${operation.name}`)}=1`, sent)
      t.ok(status < 500, `${operation.name} → ${status}`)
    }
  }
})

t.test('requests that are none, or name a whole URL → an answer', async (t) => {
  const requests = [
    get(`http://someone:${canary('password in a URL')}@localhost/private?${canary('query in a URL')}`),
    get('/private', `Authorization: Bearer ${canary('doubled bearer')}`, `Authorization: Bearer ${canary('second bearer')}`),
    get('/private', `Host: ${canary('second host')}`),
    get('/private', `X-Large: ${canary('large header').repeat(1_000)}`),
    get(`/%zz?${canary('query of a path that cannot be read')}`),
    `GET /private ${canary('no version')}\r\n\r\n`,
    `${canary('no method')} /private HTTP/1.1\r\n\r\n`,
    `GET /private HTTP/1.1\r\nHost: x\r\n${canary('no header')}\r\n\r\n`,
    `POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${canary('no chunk')}\r\n\r\n`
  ]
  for (const request of requests) t.match(await exchange(origin, request), /^HTTP\/1\.1 4\d\d /)
})

t.test('a user agent with control characters and line breaks written out → one line of the log, in which none begins another', async (t) => {
  const agent = 'x\u009b31m\\r\\n{"level":30,"msg":"forged"}\u0085'
  const body = JSON.stringify({ username: 'nobody', password: 'x' })
  const head = ['POST /login HTTP/1.1', 'Host: x', 'Connection: close', `User-Agent: ${agent}`, 'Content-Type: application/json', `Content-Length: ${body.length}`, '', body]
  t.match(await exchange(origin, Buffer.from(head.join('\r\n'), 'latin1')), /^HTTP\/1\.1 401 /)
  t.match(await exchange(origin, Buffer.from(get('/a\u009b31m'), 'latin1')), /^HTTP\/1\.1 400 /)
  await exchange(origin, get('/%0d%0a%9b{"level":30,"msg":"forged"}'))
})

t.test('what fails inside → 500, 503', async (t) => {
  const { username, email } = { username: canary('username of the 503'), email: `${canary('address of the 503')}@example.com` }
  sql(path, 'DELETE FROM login_attempts')
  sql(path, 'UPDATE users SET claims = ?', `{"${canary('damaged claims')}`)
  t.equal((await send('POST', '/login', { body: { username: account.username, password: canaries.get('new password') } })).status, 500)
  sql(path, 'ALTER TABLE users RENAME TO elsewhere')
  t.equal((await send('POST', '/login', { body: { username, password: canary('password of the 503') } })).status, 503)
  t.equal((await send('POST', '/register', { body: { username, email, password: canary('registered password of the 503') } })).status, 503)
  t.equal((await send('GET', '/readyz')).status, 503)
  sql(path, 'ALTER TABLE elsewhere RENAME TO users')
})

/** What is kept, and what follows from the secrets. */
function keptCanaries () {
  const secrets = loadSecrets(settings(path, env))
  for (const [id, { refresh, wrapping, attempts }] of secrets.all) {
    for (const [name, key] of Object.entries({ refresh, wrapping, attempts })) for (const encoding of ['base64url', 'hex'] as const) canary(`${name} key of ${id}, ${encoding}`, key.toString(encoding))
  }
  for (const { password_hash: hash } of select(path, 'SELECT password_hash FROM users')) canary('password hash', String(hash).slice(-53))
  for (const { id } of select(path, 'SELECT id FROM login_attempts')) canary(`counter ${id}`, String(id))
  for (const { kid, encrypted_key: encryptedKey } of select(path, 'SELECT * FROM signing_keys')) {
    const row = signingKeyRow(String(kid), { encryptedKey: canary('encrypted key', String(encryptedKey)) })
    const der = unwrap(row, secrets.primary)
    const { d } = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' })
    canary('signing key', String(d))
  }
}

/** Everything that was printed, when the server has stopped. */
async function printedBy ({ stop }: Server): Promise<{ out: string, err: string }> {
  const { out, err } = await stop('SIGTERM')
  return { out, err }
}

const audited = () => JSON.stringify(select(path, 'SELECT * FROM audit_events'))

t.test('no canary, nor a part of one, is in the output or in the audit events', async (t) => {
  keptCanaries()
  const { out, err } = await printedBy(server)
  t.ok(canaries.size > 200, `${canaries.size} canaries`)
  t.ok(out.split('\n').length > 100, `${out.split('\n').length} lines`)
  t.ok(select(path, 'SELECT id FROM audit_events').length > 15)
  t.strictSame(found(out), [])
  t.strictSame(found(err), [])
  t.strictSame(found(audited()), [])
  t.notMatch(out + err + audited(), /bcrypt_hmac|PRIVATE KEY|"d":/)
  wholeLines(t, out)
})

/** Each line is one of JSON, and no character in it moves a terminal. */
function wholeLines (t: Test, out: string) {
  t.notMatch(out.replaceAll('\n', ''), /[\p{Cc}\u2028\u2029]/u)
  const messages = out.trimEnd().split('\n').map((line) => JSON.parse(line).msg)
  t.notOk(messages.includes('forged'))
}

t.test('the search finds a canary that is there, however it is written', async (t) => {
  const value = canary('found')
  for (const text of [value, value.slice(3, 3 + FRAGMENT), Buffer.from(value).toString('base64'), Buffer.from(value).toString('hex')]) {
    t.strictSame(found(`{"msg":"${text}"}`), ['found'])
  }
  t.strictSame(found(value.slice(0, FRAGMENT - 1)), [])
})

t.test('a start that fails over a setting → it is named, and its value is not printed', async (t) => {
  const password = canary('password of a database')
  const wrong: NodeJS.ProcessEnv[] = [
    { DATABASE_URL: `postgres://latchkey:${password}@127.0.0.1:1/latchkey` },
    { DATABASE_URL: canary('no database') },
    { LATCHKEY_SECRET: canary('short secret', randomBytes(10).toString('hex')) },
    { LATCHKEY_SECRET_FALLBACKS: canary('short earlier secret', randomBytes(10).toString('hex')) },
    { LATCHKEY_PASSWORD_PEPPER: canary('short pepper', randomBytes(10).toString('hex')) },
    { LATCHKEY_SECRET: secretCanary('wrong secret') }
  ]
  for (const more of wrong) {
    const { code, out, err } = await startServer(t, { ...env, ...more }).ended
    t.ok(code === 3 || code === 4, Object.keys(more).join())
    t.match(err, /^latchkey: /)
    t.strictSame(found(out + err), [])
  }
})
