import { createSign, generateKeyPairSync, type JsonWebKey, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { bearer, build, fakeClock, folder, getPrivate, login, PASSWORD, post, refresh, registerAndLogin, tryLogin } from './fixtures/app.ts'
import { isProblem, lasting, select } from './fixtures/accounts.ts'
import { decode, ecdsa, ed25519, encode, forge, hmac, pss, rsa, secretsOf, stealKey } from './fixtures/forge.ts'
import { portOf } from './fixtures/process.ts'
import { exchange, get } from './fixtures/socket.ts'

/** No key is needed for these: whoever can reach the service can try them. Those with the key are in attacks-with-the-key.test.ts. */
const path = folder(t)
const clock = fakeClock()
const app = await build(t, { path, now: clock.now })
const { access_token: good, refresh_token: refreshToken } = await registerAndLogin(app)
const { header, payload: claims } = decode(good)
const [h = '', p = '', s = ''] = good.split('.')
const key = await stealKey(app, path)
const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** The one answer to all of them. */
const invalid = lasting(await getPrivate(app, 'garbage'))

async function refused (t: Test, tokens: Record<string, string>) {
  for (const [about, token] of Object.entries(tokens)) {
    t.strictSame(lasting(await getPrivate(app, token)), invalid, about.slice(0, 80))
  }
}

/** The same claims under many headers; `sign` may differ from what the header says. */
function underHeaders (headers: (object | string)[], sign = ecdsa(own.privateKey)) {
  return Object.fromEntries(headers.map((one) => [JSON.stringify(one), forge(one, claims, sign)]))
}

t.test('GET /private with a bad token → 401 invalid_token, which says nothing of the reason', async (t) => {
  const response = await getPrivate(app, 'garbage')
  isProblem(t, response, 'invalid_token')
  t.equal(response.headers['www-authenticate'], 'Bearer realm="latchkey", error="invalid_token"')
  t.equal((await getPrivate(app, good)).statusCode, 200, 'and with the good one → 200')
  t.equal((await getPrivate(app, forge(header, claims, key.sign))).statusCode, 200, 'and with one made by hand with the service\'s key → 200')
})

t.test('GET /private with the algorithm "none" in any spelling → 401', async (t) => {
  for (const alg of ['none', 'None', 'NONE', 'nOnE', 'none ', '']) {
    const head = encode({ ...header, alg })
    await refused(t, { [`"${alg}", no signature`]: `${head}.${p}.`, [`"${alg}", no second dot`]: `${head}.${p}`, [`"${alg}", the signature kept`]: `${head}.${p}.${s}` })
  }
})

t.test('GET /private with an algorithm missing, of a wrong type, in lower case or of the same family → 401', async (t) => {
  const headers = [undefined, null, 256, true, [], ['ES256'], {}, 'es256', 'ES256 ', 'ES384', 'ES512', 'ES256K', 'EdDSA', 'Ed25519', 'HS256', 'hs256', 'RS256'].map((alg) => ({ ...header, alg }))
  await refused(t, underHeaders(headers, key.sign))
  await refused(t, { 'ES256 with SHA-384': forge(header, claims, ecdsa(key.privateKey, 'sha384')) })
})

/** A public key in every form in which somebody may have given it to an HMAC. */
function publicForms (publicKey: KeyObject, jwk: JsonWebKey): (string | Buffer)[] {
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const der = publicKey.export({ type: 'spki', format: 'der' })
  const bare = JSON.stringify(publicKey.export({ format: 'jwk' }))
  const pkcs1 = jwk.kty === 'RSA' ? [publicKey.export({ type: 'pkcs1', format: 'pem' }).toString(), publicKey.export({ type: 'pkcs1', format: 'der' })] : []
  const texts = [pem, ...pkcs1.map(String)].flatMap((text) => [text, text.trimEnd(), text.replaceAll('\n', '\r\n'), ` ${text}`, `\ufeff${text}`])
  return [...texts, der, ...pkcs1, der.toString('base64'), bare, JSON.stringify(jwk), JSON.stringify({ keys: [jwk] }), String(jwk.kid), Buffer.from(jwk.n ?? jwk.x ?? '', 'base64url'), '']
}

t.test('GET /private with an HMAC whose key is the public key → 401, for EC and for RSA', async (t) => {
  const rsaPath = folder(t)
  const rsaApp = await build(t, { path: rsaPath, now: clock.now, env: { LATCHKEY_ALGORITHM: 'RS256' } })
  const token = (await registerAndLogin(rsaApp)).access_token
  const rsaKey = await stealKey(rsaApp, rsaPath)
  const services = [{ service: app, token: good, ...key }, { service: rsaApp, token, ...rsaKey }]
  for (const { service, token, publicKey } of services) {
    const { header, payload } = decode(token)
    const [jwk] = (await service.inject('/.well-known/jwks.json')).json().keys
    const attempts = publicForms(publicKey, jwk).flatMap((form) => ['256', '384', '512'].flatMap((bits) =>
      [{ ...header, alg: `HS${bits}` }, { alg: `HS${bits}`, typ: 'at+jwt' }, header].map((head) => forge(head, payload, hmac(form, `sha${bits}`)))))
    for (const attempt of attempts) t.strictSame(lasting(await getPrivate(service, attempt)), invalid)
  }

  const others = { PS256: pss(rsaKey.privateKey), RS384: rsa(rsaKey.privateKey, 'sha384'), RS512: rsa(rsaKey.privateKey, 'sha512') }
  for (const [alg, sign] of Object.entries(others)) {
    const { header, payload } = decode(token)
    for (const head of [{ ...header, alg }, header]) {
      t.strictSame(lasting(await getPrivate(rsaApp, forge(head, payload, sign))), invalid, `the right key, the wrong algorithm ${alg}`)
    }
  }
  t.equal((await getPrivate(rsaApp, token)).statusCode, 200)
})

t.test('GET /private with a key that the token brings along or points to → 401, and nothing is fetched', async (t) => {
  let requests = 0
  const server = createServer((_request, response) => { requests += 1; response.end() }).listen(0, '127.0.0.1')
  server.on('connection', () => { requests += 1 })
  t.teardown(() => server.close())
  await once(server, 'listening')
  const url = `http://127.0.0.1:${portOf(server)}/keys`

  const jwk = own.publicKey.export({ format: 'jwk' })
  const der = own.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  const { kid, ...withoutKid } = header
  for (const head of [header, withoutKid, { ...header, kid: url }]) {
    await refused(t, underHeaders([
      { ...head, jwk }, { ...head, jwk: { ...jwk, kid } }, { ...head, jku: url }, { ...head, x5u: url }, { ...head, x5c: [der] },
      { ...head, jku: url, crit: ['jku'] }, { ...head, kid: url }
    ]))
  }
  const rsaKey = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const ed = generateKeyPairSync('ed25519')
  await refused(t, underHeaders([{ ...header, alg: 'RS256', jwk: rsaKey.publicKey.export({ format: 'jwk' }) }], rsa(rsaKey.privateKey)))
  await refused(t, underHeaders([{ ...header, alg: 'EdDSA', jwk: ed.publicKey.export({ format: 'jwk' }) }], ed25519(ed.privateKey)))
  await refused(t, underHeaders([{ ...header, alg: 'HS256', jwk: { kty: 'oct', k: encode('k') } }], hmac('k')))
  t.equal(requests, 0)
})

t.test('GET /private with a kid that is a path, a query, a command, a name of every object, huge or no string → 401', async (t) => {
  const kids = [
    '../../../../dev/null', '/dev/null', '', '\0', 'x\' UNION SELECT \'1\';--', '\' OR 1=1 --', '|sleep 10', '$(sleep 10)', 'file:///etc/passwd',
    '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'unknown', `${header['kid']} `, 'k'.repeat(2_000), 'k'.repeat(10_000),
    {}, [], [header['kid']], 1, null, true
  ]
  const headers = kids.map((kid) => ({ ...header, kid }))
  await refused(t, underHeaders(headers))
  await refused(t, underHeaders(headers.map((head) => ({ ...head, alg: 'HS256' })), hmac('')))
})

t.test('GET /private without a signature, or with a part of one, zeros, or another token\'s → 401', async (t) => {
  const { access_token: other } = await login(app)
  const bytes = Buffer.from(s, 'base64url')
  await refused(t, {
    none: `${h}.${p}.`,
    'no second dot': `${h}.${p}`,
    'one character': `${h}.${p}.A`,
    half: `${h}.${p}.${encode(bytes.subarray(0, 32))}`,
    'one byte less': `${h}.${p}.${encode(bytes.subarray(0, 63))}`,
    'one byte more': `${h}.${p}.${encode(Buffer.concat([bytes, Buffer.alloc(1)]))}`,
    twice: `${h}.${p}.${s}${s}`,
    'another token\'s': `${h}.${p}.${other.split('.')[2]}`,
    'of another key': forge(header, claims, ecdsa(own.privateKey)),
    'of the payload alone': `${h}.${p}.${key.sign(p).toString('base64url')}`
  })
})

/** The order of P-256 (FIPS 186-5). */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
const number32 = (n: bigint) => Buffer.from(n.toString(16).padStart(64, '0'), 'hex')

t.test('GET /private with an ECDSA signature of 0, 1 or the order of the curve (CVE-2022-21449) → 401', async (t) => {
  const numbers = [0n, 1n, ORDER - 1n, ORDER, ORDER + 1n, 2n ** 256n - 1n]
  for (const r of numbers) {
    for (const s of numbers) await refused(t, { [`r ${r}, s ${s}`]: `${h}.${p}.${encode(Buffer.concat([number32(r), number32(s)]))}` })
  }
  const bytes = Buffer.from(s, 'base64url')
  await refused(t, {
    's of 0': `${h}.${p}.${encode(Buffer.concat([bytes.subarray(0, 32), Buffer.alloc(32)]))}`,
    'r of 0': `${h}.${p}.${encode(Buffer.concat([Buffer.alloc(32), bytes.subarray(32)]))}`
  })
})

t.test('GET /private with an ECDSA signature in DER → 401', async (t) => {
  const der = createSign('sha256').update(`${h}.${p}`).sign(key.privateKey)
  await refused(t, { 'a right one': `${h}.${p}.${encode(der)}`, zeros: `${h}.${p}.MAYCAQACAQA`, 'the right one in 64 bytes': `${h}.${p}.${encode(der.subarray(0, 64))}` })
})

t.test('GET /private with the other ECDSA signature (r, n − s) of a good token → 200, and after the logout → 401', async (t) => {
  const { access_token: token, refresh_token: ending } = await login(app)
  const [head, body, signature = ''] = token.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  const other = number32(ORDER - BigInt(`0x${bytes.subarray(32).toString('hex')}`))
  const twin = `${head}.${body}.${encode(Buffer.concat([bytes.subarray(0, 32), other]))}`
  t.not(twin, token)
  t.equal((await getPrivate(app, twin)).statusCode, 200)
  t.equal((await post(app, '/logout', { refresh_token: ending })).statusCode, 204)
  await refused(t, { twin, token })
})

t.test('GET /private with a header that is no JSON object, or has members twice → 401', async (t) => {
  const text = JSON.stringify(header)
  const headers = ['', 'null', '[]', '"ES256"', '1', '{', '{}', 'ES256', `[${text}]`, `${text}x`, ` ${text}`, `${text} `, `\ufeff${text}`, text.replace('{', '{"alg":"none",'), text.replace('}', ',"alg":"none"}'), text.replace('}', `,"kid":"${header['kid']}"}`)]
  await refused(t, underHeaders(headers, key.sign))
})

t.test('GET /private with a header that is right but spelled otherwise → 401: a token of ours has one spelling', async (t) => {
  const { alg, typ, kid } = header
  await refused(t, underHeaders([
    { typ, alg, kid }, { ...header, x: 1 }, { ...header, typ: 'AT+JWT' }, { ...header, typ: 'application/at+jwt' }, { ...header, typ: 'JWT' }, { alg, kid }, { ...header, cty: 'JWT' }
  ], key.sign))
})

t.test('GET /private with base64url that is not canonical, padded, of the other alphabet, or broken up → 401', async (t) => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(s.at(-1) ?? '')
  // 64 bytes leave four unused bits in the last character.
  const spellings = Array.from({ length: 15 }, (_, bits) => `${h}.${p}.${s.slice(0, -1)}${alphabet[last + bits + 1]}`)
  t.ok(spellings.every((one) => Buffer.from(one.split('.')[2] ?? '', 'base64url').equals(Buffer.from(s, 'base64url'))), 'the same bytes')
  await refused(t, Object.fromEntries(spellings.map((one) => [one.slice(-3), one])))
  const parts = [h, p, s]
  for (const tail of ['=', '==', '%3D', '?', ' ', '\t', ',', '"', '\u00e9', '+', '/', 'A']) {
    for (const i of parts.keys()) await refused(t, { [`part ${i} and ${JSON.stringify(tail)}`]: parts.with(i, parts[i] + tail).join('.') })
  }
  const plain = parts.map((part) => Buffer.from(part, 'base64url').toString('base64')).join('.')
  await refused(t, { 'standard base64': plain, spaced: good.replaceAll('.', ' . '), 'a space before': ` . ${good}`, quoted: `"${good}"`, hex: parts.map((part) => Buffer.from(part, 'base64url').toString('hex')).join('.') })
})

t.test('GET /private with another number of parts, an encrypted token, JSON serialization or a token in a token → 401', async (t) => {
  await refused(t, {
    nothing: '',
    dot: '.',
    dots: '..',
    one: h,
    two: `${h}.${p}`,
    four: `${good}.${s}`,
    five: `${h}.${p}.${s}.${p}.${s}`,
    'a dot before': `.${good}`,
    'a dot after': `${good}.`,
    'no header': `.${p}.${s}`,
    'no payload': `${h}..${s}`,
    swapped: `${p}.${h}.${s}`,
    encrypted: `${encode({ alg: 'dir', enc: 'A256GCM' })}..${encode('iv-iv-iv-iv-')}.${encode('text')}.${encode('tag-tag-tag-tag-')}`,
    flattened: JSON.stringify({ protected: h, payload: p, signature: s }),
    general: JSON.stringify({ payload: p, signatures: [{ protected: h, signature: s }] }),
    nested: forge({ ...header, cty: 'JWT' }, good, key.sign),
    'nested under our header': forge(header, good, key.sign)
  })
})

t.test('GET /private with a huge or a deep token → 401', async (t) => {
  const sign = ecdsa(own.privateKey)
  const many = Object.fromEntries(Array.from({ length: 1_200 }, (_, i) => [`c${i}`, i]))
  await refused(t, {
    'a payload of 15 KB': forge(header, { ...claims, x: 'x'.repeat(11_000) }, sign),
    'a signature of 15 KB': `${h}.${p}.${'A'.repeat(15_000)}`,
    '15,000 dots': '.'.repeat(15_000),
    '5,000 levels': forge(header, '['.repeat(5_000), sign),
    '1,400 levels that close': forge(header, `${'['.repeat(1_400)}${']'.repeat(1_400)}`, key.sign),
    'many claims': forge(header, { ...claims, ...many }, sign)
  })
})

t.test('GET /private over a socket with a token of 15 KB → 401, of 17 KB or 1 MB → 431, and the service goes on → 200', async (t) => {
  await app.listen({ port: 0, host: '127.0.0.1' })
  const send = (token: string) => exchange(app.listeningOrigin, get('/private', `Authorization: Bearer ${token}`))
  t.match(await send('A'.repeat(15_000)), /^HTTP\/1\.1 401 [^]*"code":"invalid_token"/)
  t.match(await send('A'.repeat(17_000)), /^HTTP\/1\.1 431 [^]*"code":"headers_too_large"/)
  // So much is still under way when the answer comes that the answer may be lost.
  t.match(await send('A'.repeat(1_000_000)), /^(HTTP\/1\.1 431 |$)/)
  t.match(await send(good), /^HTTP\/1\.1 200 /)
  t.match(await exchange(app.listeningOrigin, get('/private', `Authorization: Bearer ${h}.${p}.`, ` ${s}`)), /^HTTP\/1\.1 40[01] /, 'a folded line')
})

t.test('GET /private with two Authorization headers, whichever is good → 401', async (t) => {
  const lines = (...values: string[]) => get('/private', ...values.map((value) => `Authorization: ${value}`))
  for (const values of [[good, good], [good, 'garbage'], ['garbage', good]]) {
    t.match(await exchange(app.listeningOrigin, lines(...values.map((token) => `Bearer ${token}`))), /^HTTP\/1\.1 401 [^]*"code":"invalid_token"/)
  }
  for (const basic of [['Basic YTpi', `Bearer ${good}`], [`Bearer ${good}`, 'Basic YTpi']]) {
    t.match(await exchange(app.listeningOrigin, lines(...basic)), /^HTTP\/1\.1 401 [^]*"code":"invalid_token"/)
  }
})

t.test('GET /private with a good token only where no token belongs → 401', async (t) => {
  const places = { cookie: `access_token=${good}`, 'x-access-token': good, 'x-authorization': `Bearer ${good}`, 'proxy-authorization': `Bearer ${good}` }
  isProblem(t, await app.inject({ url: `/private?access_token=${good}`, headers: places }), 'missing_token')
  const both = await app.inject({ url: `/private?access_token=${good}`, headers: { ...places, ...bearer('garbage') } })
  t.strictSame(lasting(both), invalid)
})

t.test('a refresh token opens nothing, an access token refreshes nothing → 401', async (t) => {
  const { primary } = secretsOf(path)
  const refreshing = decode(refreshToken)
  await refused(t, {
    'a refresh token': refreshToken,
    'access claims under the refresh key': forge(refreshing.header, claims, hmac(primary.refresh)),
    'our header, the refresh key': forge(header, claims, hmac(primary.refresh)),
    'typ of a refresh token': forge({ ...header, typ: 'rt+jwt' }, claims, key.sign),
    'an ID token': forge({ ...header, typ: 'JWT' }, claims, key.sign)
  })
  isProblem(t, await refresh(app, good), 'invalid_refresh_token')
  const swapped = [forge(header, refreshing.payload, key.sign), forge(refreshing.header, refreshing.payload, key.sign), forge({ ...refreshing.header, typ: 'at+jwt' }, refreshing.payload, hmac(primary.refresh)), forge({ ...refreshing.header, alg: 'HS384' }, refreshing.payload, hmac(primary.refresh, 'sha384'))]
  for (const token of swapped) isProblem(t, await refresh(app, token), 'invalid_refresh_token')
  t.equal((await refresh(app, forge(refreshing.header, refreshing.payload, hmac(primary.refresh)))).statusCode, 200, 'made by hand with all that is right → 200')
})

/** Whether a token is answered like every bad one; a property has to fail by itself, so that a smaller case is looked for. */
async function isRefused (token: string) {
  return isDeepStrictEqual(lasting(await getPrivate(app, token)), invalid)
}

t.test('GET /private with any one character of a good token changed, lost or added → 401', async () => {
  const character = fc.constantFrom(...'ABCXYZabcxyz0189-_.=+/ ,~"')
  await fc.assert(fc.asyncProperty(fc.nat(good.length - 1), character, async (at, other) => {
    // One more space before a token is allowed.
    fc.pre(good[at] !== other && !(at === 0 && other === ' '))
    const [before, after] = [good.slice(0, at), good.slice(at + 1)]
    return await isRefused(before + other + after) && await isRefused(before + after) && await isRefused(before + other + good.slice(at))
  }), { numRuns: 150 })
})

t.test('GET /private with random garbage → 401', async () => {
  const part = fc.oneof(fc.base64String(), fc.json().map(encode), fc.constantFrom(h, p, s, ''))
  const garbage = fc.oneof(fc.string({ maxLength: 200 }), fc.array(part, { maxLength: 5 }).map((parts) => parts.join('.')))
  await fc.assert(fc.asyncProperty(garbage, async (token) => token.trim() === good || await isRefused(token)), { numRuns: 300 })
})

/** What means something to a database, a template, a shell, a header or a log, and nothing to us. */
const injections = [
  "' OR '1'='1", "' OR 1=1 --", "ada' --", "x'; DROP TABLE users; --", "x' UNION SELECT * FROM users --", "ada' AND sleep(10) --", '1); SELECT pg_sleep(10); --', '%', '_da', 'a*',
  '{"$ne":null}', '{"$gt":""}', '\'; return true; var x=\'', '*)(uid=*))(|(uid=*', 'ada\r\nSet-Cookie: latchkey=x', 'ada\r\n\r\n{"level":60}', 'ada\0', 'ada\u2028', '\u001b[31mada',
  '{{7*7}}', '<%= 7*7 %>', '$(sleep 10)', '; sleep 10', '../../etc/passwd', '<script>alert(1)</script>', '__proto__', 'constructor',
  ...['7*7', 'jndi:ldap://127.0.0.1/x'].map((inside) => '$' + `{${inside}}`)
]
const operators: unknown[] = [{ $ne: null }, { $gt: '' }, { $regex: '.*' }, { $where: 'sleep(10)' }, { toString: 'ada' }, ['ada'], [{ $ne: 1 }], { length: 3 }, true, 0]

t.test('POST /login with an injection as name or password → 401, with an operator → 400; POST /register → 400 or an account of that very name', async (t) => {
  const ada = () => select(path, 'SELECT id, username, password_hash FROM users WHERE username_key = ?', 'ada')
  const before = ada()
  for (const text of injections) {
    isProblem(t, await tryLogin(app, text), 'invalid_credentials', text)
    isProblem(t, await tryLogin(app, 'ada', text), 'invalid_credentials', text)
    const { statusCode, body } = await post(app, '/register', { username: text, password: PASSWORD })
    t.equal(statusCode === 201 ? JSON.parse(body).username : statusCode, statusCode === 201 ? text : 400, text)
  }
  for (const value of operators) {
    for (const body of [{ username: value, password: PASSWORD }, { username: 'ada', password: value }]) {
      for (const url of ['/login', '/register']) isProblem(t, await post(app, url, body), 'invalid_request', JSON.stringify(body))
    }
  }
  t.strictSame(ada(), before)
  t.equal((await tryLogin(app, 'ada')).statusCode, 200)
})
