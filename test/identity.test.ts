import fc from 'fast-check'
import t from 'tap'
import { canonical, emailFault, emailKey, loginKey, usernameFault } from '../src/identity.ts'
import { passwordFault, resemblesUser } from '../src/password-policy.ts'
import { findUserByName } from '../src/users.ts'
import { isInvalid, sql } from './fixtures/accounts.ts'
import { build, folder, login, PASSWORD, post, register } from './fixtures/app.ts'

/** Any text, lone surrogates too, and text of what a name is made of, so that much of it is accepted. */
const anyText = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)))
const ascii = 'abcxyzABCXYZ0189.+-_'
const letter = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...ascii) },
  fc.constantFrom(...'éÉßẞıİſſΣσςÅÅǅﬁⅣ①ａＡ９．＿ª漢क्षאعไทย한'),
  fc.nat(0x1ffff).map((point) => point >= 0xd800 && point < 0xe000 ? 'x' : String.fromCodePoint(point))
)
const name = fc.array(letter, { minLength: 1, maxLength: 30 }).map((letters) => letters.join(''))
const label = fc.stringMatching(/^[a-zA-Z0-9]{1,8}$/)
const domain = fc.tuple(fc.oneof(label, fc.constantFrom('Bücher', 'XN--BCHER-KVA', '例え', 'ﬁn')), fc.constantFrom('example', 'ORG', 'コム')).map((labels) => labels.join('.'))
const address = fc.tuple(fc.oneof(label, name), domain).map(([local, host]) => `${local}@${host}`)

/** Each letter of ASCII in its full width: U+FF01 … U+FF5E. */
const wide = (text: string) => text.replace(/[!-~]/g, (one) => String.fromCharCode(one.charCodeAt(0) + 0xfee0))
/** Case as a person changes it: back again it is the same. Not all of Unicode can do that (ß is SS). */
const shouted = (text: string) => text.replace(/\p{L}/gu, (one) => one.toUpperCase().toLowerCase() === one ? one.toUpperCase() : one)
const forms: ((text: string) => string)[] = [
  (text) => text.toLowerCase(), (text) => text.normalize('NFD'), (text) => text.normalize('NFKC'), (text) => text.normalize('NFKD'), wide,
  (text) => wide(text.toLowerCase()).normalize('NFD')
]

const holds = <T>(arbitrary: fc.Arbitrary<T>, property: (value: T) => void, numRuns = 1_000) => fc.assert(fc.property(arbitrary, property), { numRuns })

t.test('the canonical form is one: every code point, and any text, has the same form again', async (t) => {
  const changing: string[] = []
  for (let point = 0; point <= 0x10ffff; point++) {
    const form = canonical(String.fromCodePoint(point))
    if (canonical(form) !== form) changing.push(point.toString(16))
  }
  t.strictSame(changing, [])
  holds(fc.oneof(anyText, name), (text) => { if (canonical(canonical(text)) !== canonical(text)) throw new Error('changes again') }, 5_000)
})

t.test('names that differ in case or compatibility form alone are one name', async (t) => {
  holds(name, (text) => {
    for (const form of [shouted, ...forms]) if (canonical(form(text)) !== canonical(text)) throw new Error(`${form(text)} is another`)
  })
  const same = ['Straße', 'ſtraße', 'ＳＴＲＡßE', 'stra\u00dfe']
  t.equal(new Set(same.map(canonical)).size, 1)
  t.equal(new Set(['ΟΔΟΣ', 'οδος', 'οδοσ', 'Οδοσ'].map(canonical)).size, 1)
  t.not(canonical('ada'), canonical('аda'), 'a letter that only looks alike is another')
})

t.test('a username that is accepted is found by its name in any case, width and normal form', async (t) => {
  let accepted = 0
  holds(name, (text) => {
    if (usernameFault(text, undefined) !== undefined) return
    accepted += 1
    for (const form of [String, shouted, ...forms]) {
      const key = loginKey(form(text))
      if (key === undefined || !('username' in key) || key.username !== canonical(text)) throw new Error(`${form(text)} is not found`)
    }
  })
  t.ok(accepted > 100, `${accepted} names were accepted`)
})

t.test('an address that is accepted is found in any case, width and normal form, and may be the username of its owner alone', async (t) => {
  let accepted = 0
  holds(address, (text) => {
    if (emailFault(text) !== undefined) return
    accepted += 1
    const email = emailKey(text)
    if (email === undefined || emailKey(email) !== email) throw new Error('its key is not its own key')
    for (const form of [String, shouted, ...forms]) {
      const key = loginKey(form(text))
      if (key === undefined || !('email' in key) || key.email !== email) throw new Error(`${form(text)} is not found`)
    }
    if (usernameFault(text, 'somebody@else.example') !== 'format' || usernameFault(text, undefined) !== 'format') throw new Error('anybody may squat on it')
  })
  t.ok(accepted > 100, `${accepted} addresses were accepted`)
  t.equal(usernameFault('Ada@Bücher.example', 'ada@xn--bcher-kva.EXAMPLE'), undefined)
})

t.test('what is refused as an address logs nobody in, and a key is an address of ASCII domain', async (t) => {
  holds(fc.oneof(anyText, address, fc.tuple(anyText, anyText).map((parts) => parts.join('@'))), (text) => {
    const key = loginKey(text)
    const email = emailKey(text)
    if (canonical(text).includes('@') && (key === undefined) !== (email === undefined)) throw new Error('login and register differ')
    if (email !== undefined && !/^[^@]+@[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(email)) throw new Error(`${email} is no address`)
  }, 3_000)
  t.equal(loginKey('ada@localhost'), undefined)
  t.equal(loginKey('a b'), undefined)
})

t.test('no text throws, and every fault has a code', async (t) => {
  const known = [undefined, 'too_short', 'too_long', 'format', 'common_password', 'resembles_user']
  holds(fc.tuple(anyText, fc.option(anyText, { nil: undefined })), ([text, other]) => {
    const faults = [usernameFault(text, other), emailFault(text), passwordFault(text, 8)]
    if (!faults.every((fault) => known.includes(fault))) throw new Error(`${faults}`)
    loginKey(text)
    resemblesUser(text, { username: other ?? '', email: other })
  }, 3_000)
  t.equal(usernameFault('\ud800', undefined), 'format')
  t.equal(passwordFault('\udfff'.repeat(8), 8), 'format')
})

t.test('a password of the user\'s own name or address is seen in any case, width and normal form; an empty one never', async (t) => {
  const accepted = address.filter((text) => emailFault(text) === undefined)
  holds(fc.tuple(name, accepted), ([username, email]) => {
    const [, local = ''] = /^(.+)@/.exec(email) ?? []
    for (const form of [String, ...forms]) {
      for (const password of [username, email, local]) if (!resemblesUser(form(password), { username, email })) throw new Error(`${form(password)} is not seen`)
    }
    if (resemblesUser(`${username}!`, { username }) || resemblesUser('', { username, email })) throw new Error('seen where it is not')
  })
  t.notOk(resemblesUser('', { username: '', email: '' }))
  t.notOk(resemblesUser('', { username: '', email: null }))
})

t.test('a password is measured in code points after NFC, and the common ones are refused whatever the case', async (t) => {
  holds(fc.tuple(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.integer({ min: 8, max: 20 })), ([text, least]) => {
    const fault = passwordFault(text, least)
    const length = [...text.normalize('NFC')].length
    if ((fault === 'too_short') !== (length < least)) throw new Error(`${length} of ${least}: ${fault}`)
    if (passwordFault(text.normalize('NFD'), least) !== fault) throw new Error('another form is judged otherwise')
  })
  t.equal(passwordFault('é'.repeat(1024).normalize('NFD'), 8), undefined)
  t.equal(passwordFault('😀'.repeat(1025), 8), 'too_long')
  t.equal(passwordFault('PassWord123', 8), 'common_password')
})

t.test('POST /register, POST /login: one account for all forms of a name → 201, 409, 200', async (t) => {
  const app = await build(t)
  await register(app, 'ＡＤＡ.Ångström', { email: 'Ada@Bücher.example' })
  for (const username of ['ada.ångström', 'ADA.A\u030angstro\u0308m', wide('ada.') + 'ÅNGSTRÖM', 'ADA@BÜCHER.EXAMPLE', wide('ada@xn--bcher-kva.example')]) {
    await login(app, username)
    t.equal((await findUserByName(app.db.store, username))?.username, 'ADA.Ångström')
    if (!username.normalize('NFKC').includes('@')) t.equal((await post(app, '/register', { username, password: PASSWORD })).statusCode, 409, username)
  }
})

t.test('POST /register with what shows as nothing, in a name or an address → 400 format; who has such a name of old logs in → 200', async (t) => {
  const path = folder(t)
  const app = await build(t, { path })
  for (const nothing of ['\u034f', '\u115f', '\u17b4', '\u180b', '\u3164', '\ufe0f', '\uffa0', '\u{e0100}']) {
    const [username, email] = [`admin${nothing}`, `admin${nothing}@example.com`]
    isInvalid(t, await post(app, '/register', { username, email, password: PASSWORD }), { '/username': 'format', '/email': 'format' })
    isInvalid(t, await post(app, '/register', { username: nothing, email: `ada@exa${nothing}mple.com`, password: PASSWORD }), { '/username': 'format', '/email': 'format' })
  }
  await register(app, 'old', { email: 'old@example.com' })
  sql(path, 'UPDATE users SET username = ?, username_key = ?, email = ?, email_key = ?', 'old\ufe0f', 'old\ufe0f', 'old\ufe0f@example.com', 'old\ufe0f@example.com')
  await login(app, 'Old\ufe0f')
  await login(app, 'OLD\ufe0f@example.com')
})
