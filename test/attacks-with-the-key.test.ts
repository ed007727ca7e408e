import { createHmac } from 'node:crypto'
import { dictionary } from '@zxcvbn-ts/language-common'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { bearer, build, fakeClock, folder, getPrivate, login, post, refresh, register, registerAndLogin } from './fixtures/app.ts'
import { isProblem, lasting, sql } from './fixtures/accounts.ts'
import { decode, ecdsa, forge, stealKey } from './fixtures/forge.ts'

/** Tokens that the service's own key has signed: another issuer may share it, an earlier version may have had a fault, a thief may have it. */
const path = folder(t)
const clock = fakeClock()
const app = await build(t, { path, now: clock.now })
const { access_token: good, refresh_token: refreshToken } = await registerAndLogin(app)
const { header, payload: claims } = decode(good)
const key = await stealKey(app, path)
const seconds = clock.now() / 1000

const invalid = lasting(await getPrivate(app, 'garbage'))
const expired = lasting(await getPrivate(app, key.forge({ ...claims, exp: seconds - 1 })))

/** The claims of a good token with one that is written as `json`; undefined leaves it out. */
function withClaim (name: string, json: string | undefined) {
  const { [name]: _, ...others } = claims
  return json === undefined ? key.forge(others) : key.forge(JSON.stringify(others).replace('{', `{${JSON.stringify(name)}:${json},`))
}

async function refused (t: Test, tokens: Record<string, string>) {
  for (const [about, token] of Object.entries(tokens)) t.strictSame(lasting(await getPrivate(app, token)), invalid, about.slice(0, 80))
}

/** One claim in many forms. */
async function refusedClaim (t: Test, name: string, ...values: (string | undefined)[]) {
  await refused(t, Object.fromEntries(values.map((json) => [`${name}: ${json}`, withClaim(name, json)])))
}

async function opens (t: Test, tokens: Record<string, string>) {
  for (const [about, token] of Object.entries(tokens)) t.equal((await getPrivate(app, token)).statusCode, 200, about)
}

t.test('GET /private with what an expired token says → 401 token_expired, and nothing else differs', async (t) => {
  isProblem(t, await getPrivate(app, withClaim('exp', String(seconds))), 'token_expired', 'on the second of its end')
  t.strictSame({ ...expired, body: '', headers: { ...expired.headers, 'content-length': '' } }, { ...invalid, body: '', headers: { ...invalid.headers, 'content-length': '' } })
  for (const exp of ['0', '-1', '-1e308', `${seconds - 1}.9`]) t.strictSame(lasting(await getPrivate(app, withClaim('exp', exp))), expired, `exp: ${exp}`)
  await opens(t, { 'a second before its end': withClaim('exp', String(seconds + 1)), 'a fraction': withClaim('exp', `${seconds}.5`) })
  await refused(t, { 'expired, of another issuer': key.forge({ ...claims, exp: seconds - 1, iss: 'https://elsewhere.example' }), 'expired, and the signature is bad': `${key.forge({ ...claims, exp: seconds - 1 }).slice(0, -8)}AAAAAAAA` })
})

t.test('GET /private with an exp missing, of a wrong type, or further away than any token\'s → 401', async (t) => {
  await refusedClaim(t, 'exp', undefined, 'null', 'true', '""', `"${seconds + 60}"`, '{}', '[]', `[${seconds + 60}]`, '1e308', '1e999', `${clock.now() + 60_000}`, `${seconds + 86_400 + 31}`)
  await opens(t, { 'the longest life there is': withClaim('exp', String(seconds + 86_400)) })
})

t.test('GET /private with an iat missing, of a wrong type, or of the future → 401; of the next 30 s → 200', async (t) => {
  await refusedClaim(t, 'iat', undefined, 'null', 'true', '""', `"${seconds}"`, '{}', '[]', '1e308', '1e999', `${clock.now()}`, `${seconds + 31}`)
  await opens(t, { 'a clock that is 30 s ahead': withClaim('iat', String(seconds + 30)), 'a fraction': withClaim('iat', `${seconds}.25`) })
})

t.test('GET /private with an nbf of the future or of a wrong type → 401; of now → 200', async (t) => {
  await refusedClaim(t, 'nbf', String(seconds + 1), String(seconds + 600), `${seconds}.001`, '1e308', '1e999', 'null', '"0"', 'true', '{}', '[]')
  const later = withClaim('nbf', String(seconds + 1))
  await opens(t, { 'of now': withClaim('nbf', String(seconds)), 'of the past': withClaim('nbf', '-1') })
  clock.advance(1_000)
  await opens(t, { 'its time has come': later })
})

t.test('GET /private with a token of another issuer → 401', async (t) => {
  const iss = JSON.stringify(claims['iss'])
  await refusedClaim(t, 'iss', undefined, 'null', '1', '""', '{}', '[]', `[${iss}]`, `["https://elsewhere.example",${iss}]`, '"https://elsewhere.example"', `${iss.slice(0, -1)}/"`, iss.toUpperCase(), `${iss.slice(0, -1)}@elsewhere.example"`)
  await opens(t, { ours: withClaim('iss', iss) })
})

t.test('GET /private with a token for another audience → 401; for ours among others → 200', async (t) => {
  await refusedClaim(t, 'aud', undefined, 'null', '1', '""', '{}', '[]', '[""]', '"elsewhere"', '["elsewhere"]', '"LATCHKEY"', '["latchkey "]', '[["latchkey"]]', '["latchkey",1]', '{"0":"latchkey"}')
  await opens(t, { 'as text': withClaim('aud', '"latchkey"'), 'among others': withClaim('aud', '["elsewhere","latchkey"]') })
})

t.test('GET /private with a sub or sid that is no id, nobody\'s, or somebody else\'s → 401', async (t) => {
  const other = await registerAndLogin(app, 'eve')
  const { payload: others } = decode(other.access_token)
  const bad = [undefined, 'null', '1', 'true', '""', '{}', '[]', '"latchkey"', '"ada"', '"00000000-0000-0000-0000-000000000000"', '"01900000-0000-7000-8000-000000000000"', '"\' OR 1=1 --"', '"__proto__"']
  for (const name of ['sub', 'sid']) {
    const id = String(claims[name])
    await refusedClaim(t, name, ...bad, JSON.stringify(id.toUpperCase()), JSON.stringify(` ${id}`), JSON.stringify([id]), JSON.stringify(others[name]))
  }
  await refusedClaim(t, 'jti', undefined, 'null', '1', '{}', '[]')
})

t.test('GET /private with a critical extension, or an unencoded payload → 401', async (t) => {
  const crits = [['x'], ['b64'], ['exp'], ['alg'], ['x', 'x'], [], [''], [1], 'x', '', null, 0, 1, false, true, {}]
  const headers = crits.flatMap((crit) => [{ ...header, crit }, { ...header, crit, x: 1, b64: true }])
  const unencoded = [{ ...header, b64: false, crit: ['b64'] }, { ...header, b64: false }, { ...header, crit: ['b64'], b64: false, x: 1 }]
  await refused(t, Object.fromEntries([...headers, ...unencoded].map((head) => [JSON.stringify(head), forge(head, claims, key.sign)])))
  const [head = ''] = forge({ ...header, b64: false, crit: ['b64'] }, claims, key.sign).split('.')
  const input = `${head}.${JSON.stringify(claims)}`
  await refused(t, { 'as RFC 7797 has it': `${input}.${key.sign(input).toString('base64url')}`, detached: `${head}..${key.sign(input).toString('base64url')}` })
})

t.test('GET /me with a claim twice → 200, 401: the last is taken, as JSON.parse takes it everywhere', async (t) => {
  const { user: eve } = await registerAndLogin(app, 'mallory')
  const text = JSON.stringify(claims)
  const ours = `"sub":"${claims['sub']}"`
  const me = (token: string) => app.inject({ url: '/me', headers: bearer(token) })
  const last = await me(key.forge(text.replace('{', `{"sub":"${eve.id}",`)))
  t.equal(last.json().id, claims['sub'])
  isProblem(t, await me(key.forge(text.replace(/}$/, `,"sub":"${eve.id}"}`))), 'invalid_token', 'mallory\'s id with ada\'s session')
  t.equal((await me(key.forge(text.replace(ours, `${ours},${ours}`)))).json().id, claims['sub'])
})

t.test('GET /private with a payload that is no JSON object in UTF-8 → 401', async (t) => {
  const text = JSON.stringify(claims)
  const bytes = (middle: number[]) => Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from(',"x":"'), Buffer.from(middle), Buffer.from('"}')])
  const payloads = {
    array: [claims],
    string: '"x"',
    number: '1',
    null: 'null',
    true: 'true',
    nothing: ' ',
    cut: text.slice(0, -1),
    tail: `${text}x`,
    'two objects': text + text,
    'single quotes': text.replaceAll('"', '\''),
    'a byte order mark': `\ufeff${text}`,
    'UTF-16': Buffer.from(text, 'utf16le'),
    'UTF-16 with its mark': Buffer.from(`\ufeff${text}`, 'utf16le'),
    'a stray byte': bytes([0xff]),
    'an overlong slash': bytes([0xc0, 0xaf]),
    'a surrogate': bytes([0xed, 0xa0, 0x80]),
    'a cut character': bytes([0xe2, 0x82]),
    'a control character': bytes([0x01])
  }
  await refused(t, Object.fromEntries(Object.entries(payloads).map(([about, payload]) => [about, key.forge(payload)])))
  await opens(t, { 'well-formed UTF-8': key.forge(bytes([0xe2, 0x82, 0xac])), 'white space': key.forge(JSON.stringify(claims, null, 1)) })
})

t.test('GET /me with the claims "__proto__" and "constructor" → 200, and they mean nothing', async (t) => {
  for (const name of ['__proto__', 'constructor']) {
    const response = await app.inject({ url: '/me', headers: bearer(withClaim(name, '{"sub":"eve","toString":1,"id":"eve"}')) })
    t.equal(response.json().id, claims['sub'], name)
    t.notOk('eve' in Object.prototype || Reflect.get({}, 'id'))
  }
  const { sub, ...others } = claims
  await refused(t, { 'a sub by prototype alone': key.forge(JSON.stringify(others).replace('{', `{"__proto__":{"sub":"${sub}"},`)) })
})

t.test('GET /private with any claim of any type, signed → 200 or 401, never a 5xx', async (t) => {
  const names = ['iss', 'aud', 'exp', 'iat', 'nbf', 'sub', 'sid', 'jti', 'token_type', 'client_id', 'x', '__proto__', 'toString']
  await fc.assert(fc.asyncProperty(fc.constantFrom(...names), fc.json({ maxDepth: 2 }), async (name, json) => {
    const { statusCode } = await getPrivate(app, withClaim(name, json))
    return statusCode === 401 || (statusCode === 200 && !['iss', 'aud', 'exp', 'sub', 'sid'].includes(name))
  }), { numRuns: 300 })
  await fc.assert(fc.asyncProperty(fc.json(), async (json) => (await getPrivate(app, key.forge(json))).statusCode === 401), { numRuns: 100 })
  t.equal((await getPrivate(app, good)).statusCode, 200)
})

t.test('GET /private again after a logout, a refresh, a key\'s revocation, or the user\'s end → 401, but for the refresh', async (t) => {
  await register(app, 'leaver')
  const first = await login(app, 'leaver')
  await opens(t, { before: first.access_token })
  const second = await refresh(app, first.refresh_token)
  await opens(t, { 'after a refresh': first.access_token, 'the new one': second.json().access_token })
  await post(app, '/logout', { refresh_token: second.json().refresh_token })
  await refused(t, { 'after the logout': first.access_token, 'the new one': second.json().access_token, 'made anew': key.forge({ ...decode(first.access_token).payload, jti: 'another' }) })

  const third = await login(app, 'leaver')
  await opens(t, { before: third.access_token })
  sql(path, 'DELETE FROM sessions WHERE id = ?', decode(third.access_token).payload['sid'])
  await refused(t, { 'its session deleted': third.access_token })

  const fourth = await login(app, 'leaver')
  const { sub } = decode(fourth.access_token).payload
  await app.db.store.disableUser(String(sub), clock.now())
  await refused(t, { 'its user disabled': fourth.access_token })
  sql(path, 'DELETE FROM sessions WHERE user_id = ?', sub)
  t.equal(sql(path, 'DELETE FROM users WHERE id = ?', sub), 1)
  await refused(t, { 'its user deleted': fourth.access_token })

  await opens(t, { before: good })
  await app.db.store.revokeSigningKey(key.header.kid, clock.now())
  await app.keys.reload()
  await refused(t, { 'its key revoked': good, 'forged with it': forge(header, claims, ecdsa(key.privateKey)) })
})

t.test('no token is signed with a secret that people choose', async (t) => {
  const [head, payload, signature = ''] = refreshToken.split('.')
  const guesses = ['', 'secret', 'latchkey', 'your-256-bit-secret', 'changeme', ...dictionary['passwords-common'].slice(0, 20_000)]
  const signed = (guess: string) => createHmac('sha256', guess).update(`${head}.${payload}`).digest('base64url') === signature
  t.equal(guesses.find(signed), undefined)
  t.ok(guesses.length > 10_000)
})
