import fc from 'fast-check'
import type { InjectOptions } from 'fastify'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { catalogue, type Code, type FieldCode } from '../src/errors.ts'
import { isInvalid, isProblem, lasting, sql } from './fixtures/accounts.ts'
import { bearer, build, folder, login, PASSWORD, post, register, registerAndLogin } from './fixtures/app.ts'
import { allOperations, type AnyOperation, credentials, operations, resources, withBody } from './fixtures/operations.ts'
import { exchange, get } from './fixtures/socket.ts'

const path = folder(t)
const app = await build(t, { path })
await app.listen({ port: 0, host: '127.0.0.1' })

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY'] as const
const JSON_TYPE = 'application/json'
const LIMIT = 16_384

/** A call of an operation with a body as it is, past its guard. */
async function send (operation: AnyOperation | (typeof withBody)[number], body: string | Buffer, type = JSON_TYPE) {
  const headers = { ...await credentials(app, operation), 'content-type': type }
  // What is refused at once never leaves the event loop to anybody else: no timer of the server's would be heard.
  await nextTurn()
  return await app.inject({ method: operation.method, url: operation.url, payload: body, headers })
}

for (const { url, path, methods } of resources) {
  const others = METHODS.filter((method) => !methods.includes(method))

  t.test(`${path} with another method → 405 with Allow, whatever the body`, async (t) => {
    for (const method of others) {
      const options = { url, headers: { 'content-type': 'text/plain' }, payload: 'x'.repeat(2 * LIMIT) }
      // Fastify's type knows fewer methods than HTTP does.
      const response = await app.inject({ method: method as NonNullable<InjectOptions['method']>, ...options })
      t.equal(response.headers.allow, methods.join(', '), method)
      if (method === 'HEAD') t.match(response, { statusCode: 405, body: '', headers: { 'cache-control': 'no-store' } })
      else isProblem(t, response, 'method_not_allowed', method)
    }
  })
}

t.test('a whole URL in place of a path: another method → 405 with Allow; where nothing is, or by another scheme → 404', async (t) => {
  const ask = (target: string) => exchange(app.listeningOrigin, get(target))
  for (const target of ['http://x/login', 'HTTP://u:p@x:1/login?a=b', 'https://x/login/']) t.match(await ask(target), /^HTTP\/1.1 405 [^]*\r\nallow: POST\r\n/, target)
  for (const target of ['http://x/nothing', 'http://x', 'ftp://x/livez']) t.match(await ask(target), /^HTTP\/1.1 404 [^]*"not_found"/, target)
})

t.test('GET /docs/static/ → 404: a path by whose method nothing is found is no other method\'s', async (t) => {
  isProblem(t, await app.inject('/docs/static/'), 'not_found')
  t.equal((await app.inject({ method: 'HEAD', url: '/docs/static/' })).statusCode, 404)
  t.equal((await app.inject({ method: 'DELETE', url: '/docs/static/' })).headers.allow, 'GET, HEAD')
})

for (const { name, method, url } of operations) {
  t.test(`${name} with a trailing slash, with a query → the same answer`, async (t) => {
    const plain = lasting(await app.inject({ method, url }))
    t.not(plain.statusCode, 404)
    t.strictSame(lasting(await app.inject({ method, url: `${url}/` })), plain)
    t.strictSame(lasting(await app.inject({ method, url: `${url}?a=b&access_token=c` })), plain)
    t.strictSame(lasting(await app.inject({ method, url: `${url}/?/../` })), plain)
  })
}

t.test('HEAD → what GET answers, without the body', async (t) => {
  const { access_token: token } = await registerAndLogin(app, 'header')
  for (const { method, url } of operations.filter((one) => one.method === 'GET')) {
    for (const headers of [{}, bearer(token)]) {
      const whole = lasting(await app.inject({ method, url, headers }))
      t.strictSame(lasting(await app.inject({ method: 'HEAD', url, headers })), { ...whole, body: '' }, url)
    }
  }
})

/** Access tokens that were good until what is told of them happened; none has expired. */
async function overtaken (): Promise<Record<string, string>> {
  const [ended, disabled, deleted] = [await registerAndLogin(app, 'ended'), await registerAndLogin(app, 'disabled'), await registerAndLogin(app, 'deleted')]
  const tokens = { 'whose session was ended': ended.access_token, 'of a disabled user': disabled.access_token, 'of a deleted user': deleted.access_token }
  for (const [about, token] of Object.entries(tokens)) if ((await app.inject({ url: '/private', headers: bearer(token) })).statusCode !== 200) throw new Error(about)
  await post(app, '/logout', { refresh_token: ended.refresh_token })
  await app.db.store.disableUser(disabled.user.id, Date.now())
  await app.db.store.deleteUser(deleted.user.id)
  return tokens
}

const overtakenTokens = await overtaken()

for (const { name, method, url } of operations.filter(({ guarded }) => guarded)) {
  t.test(`${name} with an access token whose session was ended, of a disabled user, of a deleted one → 401 invalid_token`, async (t) => {
    for (const [about, token] of Object.entries(overtakenTokens)) {
      isProblem(t, await app.inject({ method, url, headers: bearer(token) }), 'invalid_token', about)
      if (method === 'GET') t.equal((await app.inject({ method: 'HEAD', url, headers: bearer(token) })).statusCode, 401, `HEAD, ${about}`)
    }
  })
}

for (const operation of withBody) {
  const { required, properties } = operation.body
  /** Where the schema demands nothing, a cookie might bring the token; here none can, and the route itself misses it. */
  const needed = required.length > 0 ? required : Object.keys(properties)
  const missing = Object.fromEntries(needed.map((field) => [`/${field}`, 'required' as const]))

  t.test(`${operation.name} with a body over 16 KiB → 413; of 16 KiB, it is read → 400`, async (t) => {
    const full = `{"${'x'.repeat(LIMIT - 6)}":1}`
    t.equal(Buffer.byteLength(full), LIMIT)
    t.equal((await send(operation, full)).statusCode, 400)
    isProblem(t, await send(operation, `${full} `), 'body_too_large')
    isProblem(t, await send(operation, ' '.repeat(10 * LIMIT)), 'body_too_large')
  })

  t.test(`${operation.name} without a body → 400`, async (t) => {
    const { method, url } = operation
    isInvalid(t, await app.inject({ method, url, headers: await credentials(app, operation) }), required.length > 0 ? { '': 'type' } : missing)
    isProblem(t, await send(operation, ''), 'invalid_json')
  })

  t.test(`${operation.name} with another media type or charset → 415`, async (t) => {
    for (const type of otherTypes) isProblem(t, await send(operation, '{}', type), 'unsupported_media_type', JSON.stringify(type))
  })

  t.test(`${operation.name} with JSON under an odd but valid type → the schema is applied as ever: 400`, async (t) => {
    for (const type of jsonTypes) isInvalid(t, await send(operation, '{}', type), missing, JSON.stringify(type))
  })

  t.test(`${operation.name} with what is no JSON object of ours → 400`, async (t) => {
    for (const [body, code] of brokenBodies) {
      const response = await send(operation, body)
      isProblem(t, response, code, JSON.stringify(String(body)).slice(0, 60))
      if (code === 'invalid_request') t.not(response.json().errors.length, 0, 'and says what is wrong')
    }
  })

  t.test(`${operation.name} with a field of the wrong type, missing or unknown → 400, and no word of its value`, async (t) => {
    const fields = Object.entries(properties)
    const good = Object.fromEntries(fields.map(([field]) => [field, field === 'email' ? 'ada@example.com' : 'another good value']))
    if ('username' in good) good['username'] = 'ada'
    if ('transport' in good) good['transport'] = 'body'
    const fault = async (body: object, errors: Record<string, FieldCode>) => {
      const response = await send(operation, JSON.stringify(body))
      isInvalid(t, response, errors, JSON.stringify(body))
      const { request_id: _, ...told } = response.json()
      t.notMatch(JSON.stringify(told), /sentinel|5371/)
    }

    for (const [field, { type }] of fields) {
      const { [field]: _, ...rest } = good
      if (needed.includes(field)) await fault(rest, { [`/${field}`]: 'required' })
      for (const wrong of wrongValues.filter((value) => !(value === null && type.includes('null')))) {
        await fault({ ...good, [field]: wrong }, { [`/${field}`]: 'type' })
      }
    }
    for (const extra of ['is_admin', 'Username', 'username ', '$where', 'constructor', 'toString', '']) {
      await fault({ ...good, [extra]: 'sentinel' }, { [`/${extra}`]: 'unknown_field' })
    }
    await fault({ nested: { username: 'sentinel' } }, { ...(required.length > 0 && missing), '/nested': 'unknown_field' })
  })
}

const wrongValues: unknown[] = [5371, -5371.5, true, false, null, [], ['sentinel'], {}, { $ne: 'sentinel' }, { toString: 'sentinel' }]

const otherTypes = [
  'text/plain', 'text/json', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/xml', 'application/problem+json',
  'application/jsonx', 'application/json garbage', 'application/json, text/plain', 'application/json charset=utf-8', 'application', '/', '*/*', 'json', '',
  'application/json; charset=utf-16', 'application/json;charset=utf-16le', 'application/json; charset="utf-16"', 'application/json; CHARSET=ISO-8859-1',
  'application/json; charset=utf-88', 'application/json; x=y; charset=us-ascii', 'application/json ; charset=utf-32'
]

const jsonTypes = [
  ' application/json', '\tapplication/json', 'application/json\t', 'APPLICATION/JSON', 'Application/Json;Charset=UTF-8', 'application/json;charset="utf-8"',
  'application/json; charset=utf8', 'application/json;', 'application/json ;charset=utf-8', 'application/json; profile="x"'
]

const nested = (depth: number, open: string, close: string) => open.repeat(depth) + close.repeat(depth)

const brokenBodies: [string | Buffer, Code][] = [
  [' ', 'invalid_json'], ['{', 'invalid_json'], ['}', 'invalid_json'], ['{"username"', 'invalid_json'], ['{"username":', 'invalid_json'], ['{} {}', 'invalid_json'],
  ['NaN', 'invalid_json'], ['{"username":NaN}', 'invalid_json'], ['Infinity', 'invalid_json'], ['undefined', 'invalid_json'], ['{\'username\':1}', 'invalid_json'],
  ['{"username":"a",}', 'invalid_json'], ['{/**/}', 'invalid_json'], ['{"username":01}', 'invalid_json'], ['"\t"', 'invalid_json'], ['\0', 'invalid_json'],
  ['{"__proto__":{"admin":true}}', 'invalid_json'], ['{"\\u005f_proto__":null}', 'invalid_json'], ['{"constructor":{"prototype":{"admin":true}}}', 'invalid_json'],
  [nested(10_000, '[', ''), 'invalid_json'], [nested(3_000, '{"a":', ''), 'invalid_json'],
  [Buffer.from('"\xff"', 'latin1'), 'invalid_json'], [Buffer.from('"\xc3"', 'latin1'), 'invalid_json'], [Buffer.from('"\xed\xa0\x80"', 'latin1'), 'invalid_json'],
  [Buffer.from('"\xc0\xaf"', 'latin1'), 'invalid_json'], [Buffer.from('{}', 'utf16le'), 'invalid_json'], [Buffer.from('\ufeff{}', 'utf16le'), 'invalid_json'],
  ['null', 'invalid_request'], ['[]', 'invalid_request'], ['"x"', 'invalid_request'], ['0', 'invalid_request'], ['-1e999', 'invalid_request'], ['true', 'invalid_request'],
  ['{}', 'invalid_request'], ['\ufeff{}', 'invalid_request'], ['[{"username":"ada"}]', 'invalid_request'], [nested(8_000, '[', ']'), 'invalid_request'],
  ['{"constructor":{"name":"x"}}', 'invalid_request'], ['{"constructor":null}', 'invalid_request'], ['{"hasOwnProperty":1}', 'invalid_request'],
  ['{"username":1e999}', 'invalid_request'], ['{"username":1,"username":2}', 'invalid_request'], ['{"username":"\\ud800"}', 'invalid_request']
]

t.test('POST with a byte order mark before good JSON → as without; with a name twice, the last counts', async (t) => {
  await register(app, 'marked')
  const body = JSON.stringify({ username: 'marked', password: PASSWORD })
  const attempt = (payload: string) => app.inject({ method: 'POST', url: '/login', payload, headers: { 'content-type': JSON_TYPE } })
  t.equal((await attempt(`\ufeff${body}`)).statusCode, 200)
  t.equal((await attempt(body.replace('{', '{"username":"nobody",'))).statusCode, 200)
  isProblem(t, await attempt(body.replace('}', ',"username":"nobody"}')), 'invalid_credentials')
})

t.test('POST with a Content-Length that is not the length of the body → 400', async (t) => {
  const headers = { 'content-type': JSON_TYPE, 'content-length': '5' }
  isProblem(t, await app.inject({ method: 'POST', url: '/login', payload: '{}', headers }), 'invalid_request')
})

t.test('POST with many unknown fields → 400 that lists 50; with a long name full of slashes, its pointer', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`field-${i}`, i]))
  const response = await post(app, '/login', many)
  isProblem(t, response, 'invalid_request')
  t.equal(response.json().errors.length, 50)

  const login = { username: 'ada', password: PASSWORD }
  isInvalid(t, await post(app, '/login', { ...login, 'a/b~c~1': 1 }), { '/a~1b~0c~01': 'unknown_field' })
  isInvalid(t, await post(app, '/login', { ...login, ['~'.repeat(16_000)]: 1 }), { [`/${'~0'.repeat(16_000)}`]: 'unknown_field' })
})

t.test('any operation with any body under any type → never 5xx', async (t) => {
  const names = [...new Set(withBody.flatMap(({ body }) => Object.keys(body.properties))), '__proto__', 'constructor']
  const value = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('', 'ada', 'ada@example.com', PASSWORD), fc.anything())
  const record = fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), value, { maxKeys: 6, noNullPrototype: true })
  const body = fc.oneof(
    { weight: 4, arbitrary: record.map((one) => JSON.stringify(one, (_, inner) => typeof inner === 'bigint' ? Number(inner) : inner)) },
    { weight: 2, arbitrary: fc.json() },
    fc.string({ unit: 'binary' }),
    fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes))
  )
  const type = fc.oneof({ weight: 6, arbitrary: fc.constant(JSON_TYPE) }, fc.constantFrom(...otherTypes, ...jsonTypes))

  await fc.assert(fc.asyncProperty(fc.constantFrom(...operations), body, type, async (operation, payload, contentType) => {
    const { statusCode, headers, body: answer } = await send(operation, payload, contentType)
    if (statusCode < 400) return
    const isOurs = headers['content-type'] === 'application/problem+json; charset=utf-8' && JSON.parse(answer).code in catalogue
    if (statusCode >= 500 || !isOurs) throw new Error(`${operation.name} → ${statusCode} ${answer}`)
  }), { numRuns: 200 })
  t.ok(operations.length > 10)
})

t.test('a path where nothing is → 404, with any method and body', async (t) => {
  for (const url of ['/', '/nothing', '/login/x', '/sessions/0199d0c3-0000-7000-8000-000000000000/x', '/.env', '/docs/nothing', '/docs/static/nothing', '/docs/static/..%2f..%2fpackage.json']) {
    isProblem(t, await app.inject(url), 'not_found', url)
  }
  isProblem(t, await app.inject({ method: 'POST', url: '/nothing', payload: 'x'.repeat(2 * LIMIT), headers: { 'content-type': 'text/plain' } }), 'not_found')
  isProblem(t, await app.inject({ method: 'DELETE', url: '/docs/static/index.css' }), 'method_not_allowed')
})

t.test('GET /private by another spelling of its path, without a token → 401, 404 or 400, never 200', async (t) => {
  const { access_token: token } = await registerAndLogin(app, 'speller')
  const spellings: [string, number][] = [
    ['/private', 401], ['/private/', 401], ['/%70rivate', 401], ['/pri%76ate/', 401], ['/private?x', 401], ['/private#x', 401], ['http://evil.example/private', 401],
    ['//private', 404], ['/private//', 404], ['///private', 404], ['/PRIVATE', 404], ['/Private', 404], ['/private;x', 404], ['/;/private', 404], ['/./private', 404],
    ['/private/.', 404], ['/x/../private', 404], ['/%2e/private', 404], ['/private%2f', 404], ['/%2fprivate', 404], ['/private%20', 404], ['/private%00', 404],
    ['/private%23', 404], ['/private%3fx', 404], ['/%2570rivate', 404], ['/private.json', 404], ['/private\\', 404], ['\\private', 400],
    ['/%zz', 400], ['/private%', 400], ['/private%f', 400], ['/%c0%afprivate', 400], ['/%ff', 400]
  ]
  for (const [spelling, status] of spellings) {
    t.match(await exchange(app.listeningOrigin, get(spelling)), new RegExp(`^HTTP/1.1 ${status} [^]*application/problem\\+json`), spelling)
  }
  for (const spelling of ['/private/', '/%70rivate', 'http://evil.example/private']) {
    t.match(await exchange(app.listeningOrigin, get(spelling, `Authorization: Bearer ${token}`)), /^HTTP\/1.1 200 /, spelling)
  }
})

t.test('a second Host behind more header fields than Node keeps by itself → 400; without it 200', async (t) => {
  const many = (...fields: string[]) => get('/livez', ...Array<string>(1_500).fill('A:'), ...fields)
  t.match(await exchange(app.listeningOrigin, many()), /^HTTP\/1\.1 200 /)
  t.match(await exchange(app.listeningOrigin, many('Host: elsewhere')), /^HTTP\/1\.1 400 .*"code":"invalid_request"/s)
})

t.test('a path that cannot be decoded, or whose id is too long → 400, 404, whatever the method', async (t) => {
  isProblem(t, await app.inject('/%zz<script>'), 'invalid_request')
  isProblem(t, await app.inject({ method: 'POST', url: '/login/%zz', payload: {} }), 'invalid_request')
  isProblem(t, await app.inject({ method: 'DELETE', url: `/sessions/${'a'.repeat(200)}` }), 'not_found')
  isProblem(t, await app.inject({ method: 'DELETE', url: '/sessions/me', headers: await credentials(app, { guarded: true }) }), 'not_found')
})

/** What is told of every answer (`plugins/security-headers.ts`). */
const protective = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'", 'cross-origin-resource-policy': 'same-site', 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff'
}

t.test('what breaks inside → 500 internal_error, and no word of what', async (t) => {
  await register(app, 'broken')
  t.equal(sql(path, 'UPDATE users SET claims = ? WHERE username_key = ?', '{secret detail', 'broken'), 1)
  const response = await post(app, '/login', { username: 'broken', password: PASSWORD })
  isProblem(t, response, 'internal_error')
  t.match(response.headers, protective)
  t.notMatch(response.body, /secret|SyntaxError|JSON|claims|\.ts/)
  t.notOk('retry-after' in response.headers)
})

t.test('a database that cannot answer → 503 unavailable with Retry-After, and no word of why', async (t) => {
  sql(path, 'ALTER TABLE users RENAME TO elsewhere')
  const response = await post(app, '/login', { username: 'ada', password: PASSWORD })
  isProblem(t, response, 'unavailable')
  t.match(response.headers, protective)
  t.equal(response.headers['retry-after'], '5')
  t.notMatch(response.body, /users|SQL|\.ts/i)
  sql(path, 'ALTER TABLE elsewhere RENAME TO users')
  await login(app, 'marked')
})

t.test('X-Request-Id that is one UUID → the id of the answer\'s problem; anything else → an id of our own', async (t) => {
  const idOf = async (given?: string) => (await app.inject({ url: '/private', headers: given === undefined ? {} : { 'x-request-id': given } })).json().request_id
  for (const id of ['0199d0c3-0000-7000-8000-000000000000', '6F9619FF-8B86-4D01-B42D-00CF4FC964FF']) t.equal(await idOf(id), id)
  const others = ['', 'x', '1', '0199d0c3000070008000000000000000', '{0199d0c3-0000-7000-8000-000000000000}', '0199d0c3-0000-7000-8000-00000000000g', '0199d0c3-0000-7000-8000-000000000000 x',
    '0199d0c3-0000-7000-8000-000000000000, 0199d0c3-0000-7000-8000-000000000000', 'x'.repeat(4_000), '","code":"forged']
  for (const given of [undefined, ...others]) {
    const [one, other] = [await idOf(given), await idOf(given)]
    t.match(one, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, String(given))
    t.not(one, other, 'one for each request')
    t.not(one, given)
  }
})

t.test('no call takes a password, a token or a key where every proxy notes it down: in its path or its query', async (t) => {
  const parameters = allOperations.flatMap(({ name, parameters }) => parameters.map((one) => ({ name, ...one })))
  t.match(parameters, [{ name: 'DELETE /sessions/{id}', in: 'path', parameter: 'id' }])
  t.strictSame(parameters.filter(({ parameter }) => /pass|pwd|token|secret|key|code|auth|cred|jwt/i.test(parameter)), [])
  t.strictSame(parameters.filter((one) => one.in === 'query'), [])
})

t.test('GET /openapi.json, /openapi.yaml and /docs under whatever Host → 200, the same, and no address of its choosing', async (t) => {
  const evil = 'evil.example'
  const headers = { host: evil, origin: `https://${evil}`, referer: `https://${evil}/`, 'x-forwarded-host': evil, 'x-forwarded-proto': 'https', forwarded: `host=${evil}`, 'x-original-host': evil }
  for (const url of ['/openapi.json', '/openapi.yaml', '/docs', '/docs/static/swagger-initializer.js']) {
    const { statusCode, body } = await app.inject(url)
    t.equal(statusCode, 200, url)
    t.equal((await app.inject({ url, headers })).body, body, url)
    t.notMatch(body, evil)
  }
  t.strictSame((await app.inject('/openapi.json')).json().servers.map(({ url }: { url: string }) => url), ['/'])
})
