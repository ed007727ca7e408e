import { createPrivateKey, randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { select, sql } from './fixtures/accounts.ts'
import { folder, settings } from './fixtures/app.ts'
import { canaries, canary, formsOf, found, FRAGMENT, secretCanary, tokenCanary } from './fixtures/canaries.ts'
import { hostile, type Sent } from './fixtures/hostile.ts'
import { allOperations } from './fixtures/operations.ts'
import { wayTo } from './fixtures/outage.ts'
import { onPostgres, psql, urlFor } from './fixtures/postgres.ts'
import { ask } from './fixtures/process.ts'
import { dataIn, type Server, startServer } from './fixtures/server.ts'
import { signingKeyRow } from './fixtures/rows.ts'
import { exchange, get } from './fixtures/socket.ts'
import { unwrap } from '../src/keys.ts'
import { loadSecrets } from '../src/secrets.ts'

const path = folder(t)
const way = onPostgres() ? await wayTo(t, withPassword(urlFor(path))) : undefined
const env = {
  ...dataIn(path),
  ...(way && { DATABASE_URL: way.url }),
  LOG_LEVEL: 'trace',
  LATCHKEY_COOKIES: 'on',
  LATCHKEY_SIMPLE_JWT: 'on',
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

/** One that the server takes: where everybody is let in, as on a machine for tests, that is any. */
function withPassword (url: string): string {
  return Object.assign(new URL(url), { password: canary('password of the database', new URL(url).password || undefined) }).href
}

const isForm = (body: unknown) => body instanceof URLSearchParams || body instanceof FormData

async function send (method: string, url: string, { body, headers = {} }: Sent = {}) {
  const form = isForm(body)
  const response = await ask(origin + url, {
    method,
    headers: { ...(body && !form && { 'content-type': 'application/json' }), ...headers },
    ...(body && { body: typeof body === 'string' || form ? body : JSON.stringify(body) })
  })
  return { status: response.status, cookie: response.headers.get('set-cookie'), text: await response.text() }
}

async function is (t: Test, status: number, answer: ReturnType<typeof send>) {
  const { status: actual, ...rest } = await answer
  t.equal(actual, status)
  return rest
}

async function logIn (name: string, password = account.password) {
  const { text } = await send('POST', '/login', { body: { username: account.username, password } })
  const { access_token: access, refresh_token: refresh } = JSON.parse(text)
  return { access: tokenCanary(`access token of ${name}`, access), refresh: tokenCanary(`refresh token of ${name}`, refresh) }
}

const authorization = (token: string) => ({ authorization: `Bearer ${token}` })

t.test('a whole life: an account, its sessions in body and cookie, its passwords, right and wrong, its logouts', async (t) => {
  await is(t, 201, send('POST', '/register', { body: account }))
  await is(t, 409, send('POST', '/register', { body: account }))
  await is(t, 401, send('POST', '/login', { body: { username: account.email, password: canary('wrong password') } }))
  const first = await logIn('the first login')
  const { text } = await is(t, 200, send('POST', '/refresh', { body: { refresh_token: first.refresh } }))
  const second = tokenCanary('refresh token of the refresh', JSON.parse(text).refresh_token)
  await is(t, 200, send('GET', '/private', { headers: authorization(first.access) }))
  await is(t, 200, send('GET', `/me?access_token=${first.access}`, { headers: authorization(first.access) }))
  await is(t, 200, send('GET', '/sessions', { headers: authorization(first.access) }))

  const { cookie } = await is(t, 200, send('POST', '/login', { body: { ...account, email: undefined, transport: 'cookie' }, headers: { origin: env.LATCHKEY_PUBLIC_URL, 'sec-fetch-site': 'same-origin' } }))
  const kept = tokenCanary('cookie', /^__Host-latchkey=([^;]+)/.exec(cookie ?? '')?.[1] ?? '')
  await is(t, 403, send('POST', '/refresh', { headers: { cookie: `__Host-latchkey=${kept}`, 'sec-fetch-site': 'cross-site' } }))

  const changed = { current_password: account.password, new_password: canary('new password') }
  await is(t, 401, send('POST', '/password', { body: { ...changed, current_password: canary('another wrong password') }, headers: authorization(first.access) }))
  await is(t, 204, send('POST', '/password', { body: changed, headers: authorization(first.access) }))
  const third = await logIn('the second login', changed.new_password)
  await is(t, 401, send('POST', '/refresh', { body: { refresh_token: first.refresh.slice(0, -1) + (first.refresh.endsWith('A') ? 'B' : 'A') } }))
  await is(t, 204, send('POST', '/logout', { body: { refresh_token: second } }))
  await is(t, 204, send('POST', '/logout/all', { headers: authorization(third.access) }))
})

for (const Form of [undefined, URLSearchParams] as const) {
  const about = Form ? 'a form' : 'JSON'
  t.test(`the same in the words of Simple JWT, as ${about}: its tokens, good and bad, and its logout`, async (t) => {
    const call = (path: string, fields: Record<string, string>) => send('POST', `/api/token${path}`, { body: Form ? new Form(fields) : fields })
    const credentials = { username: account.username, password: canaries.get('new password') ?? '' }
    await is(t, 401, call('/', { ...credentials, password: canary(`wrong password in ${about}`) }))
    const first = JSON.parse((await is(t, 200, call('/', credentials))).text)
    tokenCanary(`access token in ${about}`, first.access)
    tokenCanary(`refresh token in ${about}`, first.refresh)
    const second = JSON.parse((await is(t, 200, call('/refresh/', { refresh: first.refresh }))).text)
    tokenCanary(`next access token in ${about}`, second.access)
    tokenCanary(`next refresh token in ${about}`, second.refresh)
    await is(t, 200, call('/verify/', { token: second.access }))
    await is(t, 401, call('/verify/', { token: second.access.slice(0, -8) }))
    await is(t, 200, call('/blacklist/', { refresh: second.refresh }))
    await is(t, 400, call('/verify/', { token: second.refresh }))
    await is(t, 401, call('/refresh/', { refresh: second.refresh }))
  })
}

t.test('guesses until the name is locked, at both doors → 429', async (t) => {
  for (let i = 0; i < 7; i++) await send('POST', '/login', { body: { username: account.username, password: canary(`guess ${i}`) } })
  for (const path of ['/login', '/api/token/']) await is(t, 429, send('POST', path, { body: { username: account.username, password: canary(`guess at ${path}`) } }))
})

t.test('every call of openapi.yaml with canaries for whatever it takes → never a 5xx', async (t) => {
  for (const operation of allOperations) {
    for (const [i, sent] of hostile(operation).entries()) {
      const { status } = await send(operation.method, `${operation.url}?${canary(`query ${i} of ${operation.name}`)}=1`, sent)
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
  for (const path of ['/login', '/api/token/']) t.equal((await send('POST', path, { body: { username: account.username, password: canaries.get('new password') } })).status, 500)
  sql(path, 'ALTER TABLE users RENAME TO elsewhere')
  for (const path of ['/login', '/api/token/']) t.equal((await send('POST', path, { body: { username, password: canary(`password of the 503 of ${path}`) } })).status, 503)
  t.equal((await send('POST', '/register', { body: { username, email, password: canary('registered password of the 503') } })).status, 503)
  t.equal((await send('GET', '/readyz')).status, 503)
  sql(path, 'ALTER TABLE elsewhere RENAME TO users')
})

// A file neither repeats a row nor goes away.
if (onPostgres()) {
  t.test('what PostgreSQL refuses and repeats, what it breaks off, and what it cannot be asked → 500, 503', async (t) => {
    const registers = (about: string) => send('POST', '/register', {
      body: { username: canary(`username of ${about}`), email: `${canary(`address of ${about}`)}@example.com`, password: canary(`password of ${about}`) }
    })
    // The detail of the error is the whole row.
    psql('ALTER TABLE users ADD CONSTRAINT refused CHECK (length(password_hash) < 3) NOT VALID', urlFor(path))
    t.equal((await registers('a row that is refused')).status, 500)
    psql(`ALTER TABLE users DROP CONSTRAINT refused;
      CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
      CREATE TRIGGER gone BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION gone()`, urlFor(path))
    t.equal((await registers('a statement that is broken off')).status, 503)
    t.equal((await send('GET', '/readyz')).status, 200)
    await way?.cut()
    t.equal((await registers('a database that is gone')).status, 503)
    t.equal((await send('GET', '/private', { headers: authorization(canary('bearer while the database is gone')) })).status, 401)
    t.equal((await send('GET', '/readyz')).status, 503)
  })
}

/** What is kept, and what follows from the secrets. */
function keptCanaries () {
  const secrets = loadSecrets(settings(path, env))
  for (const [id, { refresh, wrapping, attempts }] of secrets.all) {
    for (const [name, key] of Object.entries({ refresh, wrapping, attempts })) for (const encoding of ['base64url', 'hex'] as const) canary(`${name} key of ${id}, ${encoding}`, key.toString(encoding))
  }
  for (const { id, password_hash: hash } of select(path, 'SELECT id, password_hash FROM users')) canary(`password hash of ${id}`, String(hash).slice(-53))
  for (const { id } of select(path, 'SELECT id FROM login_attempts')) canary(`counter ${id}`, String(id))
  for (const { kid, encrypted_key: encryptedKey } of select(path, 'SELECT * FROM signing_keys')) {
    const row = signingKeyRow(String(kid), { encryptedKey: canary(`encrypted key ${kid}`, String(encryptedKey)) })
    const der = unwrap(row, secrets.primary)
    const { d } = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' })
    canary(`signing key ${kid}`, String(d))
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
  const inside = ['', 'a', 'ab'].map((before) => Buffer.from(`${before}${value}`).toString('base64'))
  for (const text of [value.slice(3, 3 + FRAGMENT), ...inside, ...formsOf(value)]) {
    t.strictSame(found(`{"msg":"${text}"}`), ['found'], text)
  }
  t.strictSame(found(value.slice(0, FRAGMENT - 1)), [])
})

// Settings are read before any database is opened: once is enough.
if (!onPostgres()) {
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
}
