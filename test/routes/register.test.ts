import t from 'tap'
import { build, fakeClock, folder, login, PASSWORD, post, register, START } from '../fixtures/app.ts'
import { fillQueue, isInvalid, isProblem, sql, storedHash } from '../fixtures/accounts.ts'
import type { FieldCode } from '../../src/errors.ts'

const EMAIL = 'ada@example.org'

/** For every test that needs no setting of its own: the threads of an application take a while to start. */
const path = folder(t)
const clock = fakeClock()
const shared = await build(t, { path, now: clock.now, env: { LATCHKEY_HASH_QUEUE: '100' } })

t.test('POST /register → 201 and the user, no more', async (t) => {
  const response = await post(shared, '/register', { username: 'Grace', password: PASSWORD, email: 'grace@example.org' })
  t.equal(response.statusCode, 201)
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.equal(response.headers['cache-control'], 'no-store')
  const { id, ...user } = response.json()
  t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, 'a UUID of version 7')
  t.equal(parseInt(id.replaceAll('-', '').slice(0, 12), 16), START, 'made at the moment of the request')
  t.strictSame(user, {
    username: 'Grace', email: 'grace@example.org', email_verified: false, created_at: '2026-01-01T00:00:00.000Z', last_login_at: null
  })
  t.notMatch(response.body, /bcrypt|\$2|hash|password/i)
})

t.test('POST /register without an e-mail, or with null → 201 and null; any number of users have none', async (t) => {
  t.equal((await register(shared, 'nobody')).email, null)
  t.equal((await register(shared, 'nobody2', { email: null })).email, null)
})

t.test('POST /register keeps the forms that were given, the username in NFKC → 201', async (t) => {
  const user = await register(shared, 'ﬃＡda', { email: 'Kept@BÜCHER.Example' })
  t.equal(user.username, 'ffiAda')
  t.equal(user.email, 'Kept@BÜCHER.Example')
})

t.test('POST /register with what somebody has → 409', async (t) => {
  await register(shared, 'ada', { email: EMAIL })
  const attempt = (username: string, email?: string) => post(shared, '/register', { username, password: PASSWORD, email })
  isProblem(t, await attempt('ada'), 'username_taken')
  isProblem(t, await attempt('ada', 'new@example.org'), 'username_taken')
  isProblem(t, await attempt('bob', EMAIL), 'email_taken')
  isProblem(t, await attempt('ada', EMAIL), 'username_taken')
  isProblem(t, await attempt(EMAIL, EMAIL), 'email_taken')
  t.equal((await attempt('bob', 'bob@example.org')).statusCode, 201, 'a refused registration takes no name')
})

const sameNames = [
  ['name.a', 'NAME.A'], ['name.b', 'ｎＡＭＥ.Ｂ'], ['fin', 'ﬁn'], ['kim', '\u212aim'], ['jos\u00e9', 'jose\u0301'], ['ÅSA', '\u212bsa'], ['x2', 'x²'], ['straße', 'STRAßE']
] as const

t.test('POST /register with another spelling of a username → 409 username_taken', async (t) => {
  for (const [taken, spelling] of sameNames) {
    await register(shared, taken)
    isProblem(t, await post(shared, '/register', { username: spelling, password: PASSWORD }), 'username_taken')
    await login(shared, spelling)
  }
})

const sameAddresses = [
  ['case@example.org', 'CASE@Example.ORG'],
  ['jos\u00e9@example.org', 'jose\u0301@example.org'],
  ['punycode@bücher.example', 'punycode@xn--bcher-kva.example'],
  ['eve@XN--BCHER-KVA.example', 'eve@BU\u0308CHER.example'],
  ['ada@faß.example', 'ada@xn--fa-hia.example'],
  ['wide@example.org', 'wide＠example。org']
] as const

t.test('POST /register with another spelling of an address → 409 email_taken', async (t) => {
  for (const [i, [taken, spelling]] of sameAddresses.entries()) {
    await register(shared, `address${i}`, { email: taken })
    isProblem(t, await post(shared, '/register', { username: 'other', password: PASSWORD, email: spelling }), 'email_taken')
    await login(shared, spelling)
  }
})

t.test('POST /register of one name, fifty at once → one 201, 49 times 409', async (t) => {
  const names = ['fifty', 'Fifty', 'FIFTY', 'ＦＩＦＴＹ']
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => post(shared, '/register', { username: names[i % 4], password: PASSWORD })))
  t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 1)
  const refused = answers.filter(({ statusCode }) => statusCode !== 201)
  t.equal(refused.length, 49)
  for (const answer of refused) isProblem(t, answer, 'username_taken')
})

t.test('POST /register of one address under different names, at once → one 201, the rest 409 email_taken', async (t) => {
  const email = 'race@example.org'
  const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => post(shared, '/register', { username: `race${i}`, password: PASSWORD, email })))
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [201, ...Array(9).fill(409)])
  for (const answer of answers.filter(({ statusCode }) => statusCode === 409)) isProblem(t, answer, 'email_taken')
})

t.test('POST /register: a username with an @ is the own address, in any spelling → 201, else 400', async (t) => {
  const attempt = (username: string, email?: string | null) => post(shared, '/register', { username, password: PASSWORD, email })
  for (const [username, email] of [
    [EMAIL, undefined], [EMAIL, null], [EMAIL, 'bob@example.org'], ['＠ada', undefined], ['ada＠example.org', undefined],
    ['ada@', undefined], ['@', '@'], ['@@', 'bob@example.org']
  ] as const) {
    const response = await attempt(username, email)
    isInvalid(t, response, email === '@' ? { '/username': 'format', '/email': 'format' } : { '/username': 'format' })
  }
  const response = await attempt('Ada@BÜCHER.example', 'ada@xn--bcher-kva.Example')
  t.equal(response.statusCode, 201)
  t.equal(response.json().username, 'Ada@BÜCHER.example')
  await login(shared, 'ada@bücher.example')
  await login(shared, 'ADA@xn--bcher-kva.example')
})

t.test('POST /register: nobody squats on an address as a name', async (t) => {
  await register(shared, 'mallory', { email: 'mallory@example.org' })
  isInvalid(t, await post(shared, '/register', { username: 'victim@example.org', password: PASSWORD, email: 'mallory2@example.org' }), { '/username': 'format' })
  t.equal((await register(shared, 'victim', { email: 'victim@example.org' })).email, 'victim@example.org', 'its owner still gets it')
})

const fields: [string, object, Record<string, FieldCode>][] = [
  ['nothing', {}, { '/username': 'required', '/password': 'required' }],
  ['wrong types', { username: 1, password: true, email: [] }, { '/username': 'type', '/password': 'type', '/email': 'type' }],
  ['null', { username: null, password: null, email: null }, { '/username': 'type', '/password': 'type' }],
  ['empty', { username: '', password: '', email: '' }, { '/username': 'too_short', '/password': 'too_short', '/email': 'too_short' }],
  ['too long', { username: 'a'.repeat(151), password: 'a'.repeat(1025), email: `a@${'b'.repeat(250)}.org` },
    { '/username': 'too_long', '/password': 'too_long', '/email': 'too_long' }],
  ['format', { username: 'a b', password: '\ud800aaaaaaaa', email: 'a' }, { '/username': 'format', '/password': 'format', '/email': 'format' }],
  ['unknown', { username: 'ada', password: PASSWORD, is_admin: true, id: 'x', 'a/b~c': 1 },
    { '/is_admin': 'unknown_field', '/id': 'unknown_field', '/a~1b~0c': 'unknown_field' }],
  ['constructor', { username: 'ada', password: PASSWORD, constructor: 1 }, { '/constructor': 'unknown_field' }],
  ['common password', { username: 'a b', password: 'PassWord1', email: 'a' }, { '/username': 'format', '/password': 'common_password', '/email': 'format' }],
  ['own name', { username: 'ada.lovelace', password: 'Ada.Lovelace' }, { '/password': 'resembles_user' }],
  ['own name, other width', { username: 'ada.lovelace', password: 'ＡＤＡ.lovelace' }, { '/password': 'resembles_user' }],
  ['own address', { username: 'ada', password: 'ADA@example.ORG', email: EMAIL }, { '/password': 'resembles_user' }],
  ['own local part', { username: 'ada', password: 'ADA.LOVELACE', email: 'ada.lovelace@example.org' }, { '/password': 'resembles_user' }],
  ['own local part, wide @', { username: 'ada', password: 'ada.lovelace', email: 'ada.lovelace＠example.org' }, { '/password': 'resembles_user' }],
  ['no address, so no local part', { username: 'ada', password: 'correct horse', email: 'correct horses' }, { '/email': 'format' }],
  ['missing and wrong', { password: 'short', email: {}, extra: null }, { '/username': 'required', '/password': 'too_short', '/email': 'type', '/extra': 'unknown_field' }],
  ['an array', [], { '': 'type' }]
]

for (const [name, body, errors] of fields) {
  t.test(`POST /register, ${name} → 400 with one entry for each field at fault`, async (t) => {
    isInvalid(t, await post(shared, '/register', body), errors)
  })
}

t.test('POST /register, too long → 400, and what the most is', async (t) => {
  const [name, password] = (await post(shared, '/register', { username: 'a'.repeat(151), password: 'a'.repeat(1_025) })).json().errors
  t.equal(name.detail, 'This field is too long: 150 characters at most.')
  t.equal(password.detail, 'This field is too long: 1024 characters at most.')
})

t.test('POST /register, a username with another\'s address, or with a space → 400, and what it may be', async (t) => {
  for (const username of ['victim@example.org', 'a b']) {
    const [name] = (await post(shared, '/register', { username, password: PASSWORD, email: 'ada@example.net' })).json().errors
    t.match(name, { code: 'format', detail: 'Letters, digits and @ . + - _ only; one with an @ has to be the account\'s own e-mail address.' })
  }
})

t.test('POST /register never echoes what was sent → 400, 409', async (t) => {
  await register(shared, 'sentinel-name', { email: 'sentinel@example.org' })
  for (const body of [
    { username: 'sentinel-name', password: 'sentinel-password' },
    { username: 'other', password: 'sentinel-password', email: 'sentinel@example.org' },
    { username: 'sentinel name', password: 'sentinel'.repeat(129), email: 'sentinel' },
    { username: { sentinel: 1 }, password: ['sentinel'], email: 'sentinel@', extra: 'sentinel' },
    { username: 'sentinel', password: 'sentinel' }
  ]) {
    const response = await post(shared, '/register', body)
    t.ok([400, 409].includes(response.statusCode))
    t.notMatch(response.body, /sentinel/)
  }
  const bad = await shared.inject({ method: 'POST', url: '/register', payload: '{"username":"sentinel', headers: { 'content-type': 'application/json' } })
  isProblem(t, bad, 'invalid_json')
  t.notMatch(bad.body, /sentinel/)
})

const usernames: [string, FieldCode | 201][] = [
  ['a', 201], ['ada.lovelace+tag_1-2', 201], ['Ωμέγα', 201], ['用户名', 201], ['नमस्ते', 201], ['𠀀'.repeat(150), 201], ['ﬃ'.repeat(50), 201],
  ['İ'.repeat(150), 201],
  ['', 'too_short'], ['a'.repeat(151), 'too_long'], ['𠀀'.repeat(151), 'too_long'], ['ﬃ'.repeat(51), 'too_long'],
  [' ada', 'format'], ['ada ', 'format'], ['a\tb', 'format'], ['a\nb', 'format'], ['a\0', 'format'], ['a/b', 'format'], ['<b>', 'format'], ['😀', 'format'],
  ['a\u200db', 'format'], ['\u202eada', 'format'], ['\ud800', 'format'], ['a\udc00b', 'format'], ['ﷺ', 'format'], ['\ufeff', 'format']
]

t.test('POST /register, usernames → 201 and a login by it, or 400', async (t) => {
  for (const [username, expected] of usernames) {
    const response = await post(shared, '/register', { username, password: PASSWORD })
    if (expected !== 201) isInvalid(t, response, { '/username': expected }, JSON.stringify(username))
    else {
      t.equal(response.statusCode, 201, JSON.stringify(username))
      t.equal((await post(shared, '/login', { username, password: PASSWORD })).statusCode, 200, `a login by ${JSON.stringify(username.slice(0, 9))}`)
    }
  }
})

const longLocal = 'l'.repeat(64)
const longest = `${longLocal}@${'d'.repeat(63)}.${'d'.repeat(63)}.${'d'.repeat(57)}.org`
const addresses: [string, FieldCode | 201][] = [
  ['a@b.co', 201], ['o\'brien+tag/x=y@sub.example.org', 201], ['üml@exämple.org', 201], ['用户@例え.jp', 201], [`${longLocal}@example.org`, 201], [longest, 201],
  ['', 'too_short'], [`x${longest}`, 'too_long'], [`${longLocal}l@example.org`, 'format'], [`a@${'ü'.repeat(110)}.org`, 'format'],
  ['"a b"@example.org', 'format'], ['"ab"@example.org', 'format'], ['a@[127.0.0.1]', 'format'], ['a@[IPv6:::1]', 'format'], ['a@127.0.0.1', 'format'], ['a@0x7f.1', 'format'],
  ['a@localhost', 'format'], ['a@org', 'format'], [' a@example.org', 'format'], ['a@example.org ', 'format'], ['a b@example.org', 'format'],
  ['a', 'format'], ['@example.org', 'format'], ['a@', 'format'], ['a@b@example.org', 'format'], ['a..b@example.org', 'format'], ['.a@example.org', 'format'], ['a.@example.org', 'format'],
  ['a@example..org', 'format'], ['a@.example.org', 'format'], ['a@example.org.', 'format'], ['a@-example.org', 'format'], ['a@exam_ple.org', 'format'], ['a@example.123', 'format'],
  [`a@${'d'.repeat(64)}.org`, 'format'], ['a@xn--a.org', 'format'], ['Ada <a@example.org>', 'format'], ['\ud800@example.org', 'format'], ['a\0@example.org', 'format'],
  // What a URL may have around a host, or skips within it, an address may not.
  ['a@example.org/path', 'format'], ['a@example.org?query', 'format'], ['a@example.org#part', 'format'], ['a@example.org\\path', 'format'], ['a@example.org:25', 'format'],
  ['a@ex%61mple.org', 'format'], ['a@exa\tmple.org', 'format'], ['a@example.org\n', 'format'], ['a@example.org\r\nBcc: b@example.org', 'format'], ['a@u:p@example.org', 'format']
]

t.test('POST /register, addresses → 201, or 400', async (t) => {
  for (const [i, [email, expected]] of addresses.entries()) {
    const response = await post(shared, '/register', { username: `mail${i}`, password: PASSWORD, email })
    if (expected === 201) t.equal(response.statusCode, 201, JSON.stringify(email))
    else isInvalid(t, response, { '/email': expected }, JSON.stringify(email))
  }
})

const lengths: [string, string, FieldCode | 201][] = [
  ['7 emoji of 14 units', '😀'.repeat(7), 'too_short'], ['8 emoji', '😀'.repeat(8), 201],
  ['8 code points, 4 after NFC', 'e\u0301'.repeat(4), 'too_short'], ['16 code points, 8 after NFC', 'e\u0301'.repeat(8), 201],
  ['7 letters', 'xkcdqvw', 'too_short'], ['8 letters', 'xkcdqvwz', 201], ['8 spaces', ' '.repeat(8), 201],
  ['1024 letters', 'x'.repeat(1024), 201], ['1025 letters', 'x'.repeat(1025), 'too_long'],
  ['1024 emoji', '😀'.repeat(1024), 201], ['1025 emoji', '😀'.repeat(1025), 'too_long'], ['1024 after NFC', 'e\u0301'.repeat(1024), 201]
]

t.test('POST /register: a password is measured in code points after NFC → 201, or 400', async (t) => {
  for (const [i, [name, password, expected]] of lengths.entries()) {
    const response = await post(shared, '/register', { username: `length${i}`, password })
    if (expected !== 201) isInvalid(t, response, { '/password': expected }, name)
    else {
      t.equal(response.statusCode, 201, name)
      await login(shared, `length${i}`, password.normalize('NFC'))
      await login(shared, `length${i}`, password.normalize('NFD'))
    }
  }
})

t.test('POST /register with LATCHKEY_PASSWORD_MIN_LENGTH → 400 below it, 201 at it', async (t) => {
  const app = await build(t, { env: { LATCHKEY_PASSWORD_MIN_LENGTH: '15' } })
  const refused = await post(app, '/register', { username: 'ada', password: '😀'.repeat(14) })
  isInvalid(t, refused, { '/password': 'too_short' })
  t.equal(refused.json().errors[0].detail, 'This field is too short: 15 characters at least.')
  t.equal((await post(app, '/register', { username: 'ada', password: '😀'.repeat(15) })).statusCode, 201)
})

const x72 = 'x'.repeat(72)
const passwords: [string, string, string][] = [
  ['with NUL', 'abc\0defgh', 'abc\0defgX'], ['leading NUL', '\0aaaaaaaa', '\0bbbbbbbb'], ['spaces around', '  pass phrase  ', 'pass phrase'],
  ['a trailing space', 'pass phrase ', 'pass phrase'], ['over 72 bytes', `${x72}one`, `${x72}two`], ['72 bytes and more', x72, `${x72}x`],
  ['case', 'Pass Phrase', 'pass phrase'], ['compatibility forms', 'ﬁn and more', 'fin and more'], ['U+FFFD', 'aaaaaaa\ufffd', 'aaaaaaa\ud800'],
  ['a BOM', '\ufeffaaaaaaaa', 'aaaaaaaa'], ['a new line', 'aaaaaaaa\n', 'aaaaaaaa'], ['emoji of 256 bytes', '😀'.repeat(64), '😀'.repeat(63) + '😁']
]

t.test('POST /register: every character of a password counts → 200 with it, 401 with nearly it', async (t) => {
  for (const [i, [name, password, nearly]] of passwords.entries()) {
    await register(shared, `user${i}`, { password })
    t.equal((await post(shared, '/login', { username: `user${i}`, password })).statusCode, 200, name)
    isProblem(t, await post(shared, '/login', { username: `user${i}`, password: nearly }), 'invalid_credentials')
  }
})

t.test('POST /register with a lone surrogate in the password → 400 format, wherever it stands', async (t) => {
  for (const password of ['\ud800aaaaaaaa', 'aaaaaaaa\udfff', 'aaaa\udc00\ud800aaaa']) {
    isInvalid(t, await post(shared, '/register', { username: 'ada', password }), { '/password': 'format' })
  }
})

t.test('POST /register: two users with one password have different hashes, of a form that names its scheme', async (t) => {
  await register(shared, 'twin1')
  await register(shared, 'twin2')
  const hashes = [await storedHash(shared, 'twin1'), await storedHash(shared, 'twin2')]
  for (const hash of hashes) t.match(hash, /^bcrypt_hmac_sha384\$builtin\$04\$[./A-Za-z0-9]{53}$/)
  t.not(hashes[0], hashes[1])
})

t.test('POST /register with LATCHKEY_REGISTRATION=closed → 403 registration_closed, whatever the body', async (t) => {
  await register(shared, 'early')
  const app = await build(t, { path, env: { LATCHKEY_REGISTRATION: 'closed' } })
  isProblem(t, await post(app, '/register', { username: 'bob', password: PASSWORD }), 'registration_closed')
  isProblem(t, await post(app, '/register', { username: 1 }), 'registration_closed')
  isProblem(t, await app.inject({ method: 'POST', url: '/register' }), 'registration_closed')
  isProblem(t, await app.inject({ method: 'POST', url: '/register', payload: '{', headers: { 'content-type': 'text/plain' } }), 'registration_closed')
  isProblem(t, await app.inject('/register'), 'method_not_allowed')
  await login(app, 'early')
})

t.test('POST /register with a full hashing queue → 503 overloaded, and no user', async (t) => {
  const release = fillQueue(shared)
  const response = await post(shared, '/register', { username: 'late', password: PASSWORD })
  isProblem(t, response, 'overloaded')
  t.equal(response.headers['retry-after'], '1')
  release()
  await register(shared, 'late')
})

t.test('POST /register while the database cannot answer → 503 unavailable, and no word of why', async (t) => {
  sql(path, 'ALTER TABLE users RENAME TO gone')
  const response = await post(shared, '/register', { username: 'lucky', password: PASSWORD })
  isProblem(t, response, 'unavailable')
  t.equal(response.headers['retry-after'], '5')
  sql(path, 'ALTER TABLE gone RENAME TO users')
  await register(shared, 'lucky')
})
