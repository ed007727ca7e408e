import bcrypt from 'bcryptjs'
import t from 'tap'
import { readForeignHash } from '../src/foreign-hashes.ts'
import work from '../src/hash-worker.js'
import { createPasswords } from '../src/passwords.ts'
import { eventually, isProblem, storedHash } from './fixtures/accounts.ts'
import { build, folder, PASSWORD, settings, tryLogin } from './fixtures/app.ts'
import { importDjango } from './fixtures/django.ts'

/** As test/data/django/make.py sets it. */
const passwordOf = (username: string) => `${username} has a password `

const path = folder(t)
await importDjango(path)
const app = await build(t, { path })

async function status (username: string, password: string) {
  return (await tryLogin(app, username, password)).statusCode
}

for (const username of ['ada', 'old', 'sha1', 'bcrypt-sha256', 'bcrypt', 'scrypt', 'argon2', 'Ame\u0301lie']) {
  t.test(`POST /login with what Django hashed: ${username} → 200, its hash is replaced, 200 again; a wrong password → 401`, async (t) => {
    const password = passwordOf(username)
    const key = username.normalize('NFKC').toLowerCase()
    t.equal(await status(username, password.trimEnd()), 401)
    t.notMatch(await storedHash(app, key), /^bcrypt_hmac_sha384/)
    t.equal(await status(username, password), 200)
    await eventually(async () => (await storedHash(app, key)).startsWith('bcrypt_hmac_sha384$builtin$04$'))
    t.equal(await status(username, password), 200)
    t.equal(await status(username, password.trimEnd()), 401)
  })
}

t.test('POST /login of an imported account without a password, or one that is disabled → 401, and the hash stays', async (t) => {
  for (const [username, passwords] of [['unusable', ['', '!', passwordOf('unusable')]], ['inactive', ['', passwordOf('inactive')]]] as const) {
    const before = await storedHash(app, username)
    for (const password of passwords) isProblem(t, await tryLogin(app, username, password), 'invalid_credentials')
    t.equal(await storedHash(app, username), before)
  }
  t.equal(await storedHash(app, 'unusable'), '!')
})

t.test('a password longer than bcrypt reads matches whatever its end is, as it did; but no new hash is made of it', async (t) => {
  const passwords = createPasswords(settings(path))
  t.teardown(passwords.close)
  const [long, exact] = ['x'.repeat(73), 'x'.repeat(72)]
  for (const prefix of ['', 'bcrypt$']) {
    const stored = `${prefix}${await bcrypt.hash(long, 4)}`
    t.match(await passwords.verify(long, stored), { matches: true, outdated: false })
    t.match(await passwords.verify(`${exact}y`, stored), { matches: true, outdated: false })
    t.match(await passwords.verify(exact, stored), { matches: true, outdated: true })
    t.match(await passwords.verify('x'.repeat(71), stored), { matches: false })
  }
})

function base64 (text: string, encoding: 'utf8' | 'hex' = 'utf8'): string {
  return Buffer.from(text, encoding).toString('base64')
}

const rfc6070 = base64('3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038', 'hex')
const rfc7914 = base64('7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887', 'hex')

/** Hashes of published passwords, and others of PASSWORD, made with hashlib, argon2-cffi and bcrypt of Python. */
const known: [password: string, hash: string][] = [
  ['passwordPASSWORDpassword', `pbkdf2_sha1$4096$saltSALTsaltSALTsaltSALTsaltSALTsalt$${rfc6070}`],
  ['passwordPASSWORDpassword', `$pbkdf2-sha1$i=4096,l=25$${base64('saltSALTsaltSALTsaltSALTsaltSALTsalt')}$${rfc6070}`],
  ['pleaseletmein', `scrypt$16384$SodiumChloride$8$1$${rfc7914}`],
  ['pleaseletmein', `$scrypt$ln=14,r=8,p=1$${base64('SodiumChloride')}$${rfc7914}`],
  [PASSWORD, '$pbkdf2-sha512$1000$c2FsdDA$xUnU2c3d1pHq0jxzH5IP82HLF9m1PNUxefcmi5PBceuykx93Wjfp6dS2Y/ygwd533teMJ1u4tj.I8eyRzgkzSA'],
  [PASSWORD, '$argon2id$v=19$m=64,t=2,p=4$c2FsdHNhbHQ$bGKMMKNrupahpD4GVJ74/+qi8GlgoNkK'],
  [PASSWORD, '$argon2i$v=19$m=64,t=2,p=4$c2FsdHNhbHQ$qN0WYxVABgVEtCtpOQ7CCROF8y5KQP/t'],
  [PASSWORD, 'argon2$argon2d$v=19$m=64,t=2,p=4$c2FsdHNhbHQ$LKzTTbHatPSFhLmq+GYeeaV/meEOqMfY'],
  ...['2a', '2b', '2y'].map((kind): [string, string] => [PASSWORD, `$${kind}$04$DuY0IkqdzJ7oPHsiLuBlHeI8nu.NCbkPBSg3d86Azjy0r4Kogy6Vq`])
]

for (const [password, stored] of known) {
  t.test(`${stored.slice(0, 24)}…, as another implementation made it, matches its password and no other`, async (t) => {
    const read = readForeignHash(stored)
    if (read.outcome !== 'known') throw new Error(read.outcome)
    t.match(await work(read.hash.compare(password)), { result: true, took: Number })
    t.match(await work(read.hash.compare(`${password} `)), { result: false, took: Number })
  })
}

t.test('a hash that would cost too much, is damaged, or is of another scheme is refused, with a reason that holds nothing of it; compared with, it is none', async (t) => {
  const [key, short] = [base64('k'.repeat(32)), base64('k'.repeat(15))]
  const costly = [
    `pbkdf2_sha256$5000001$salt$${key}`, `pbkdf2_sha256$0$salt$${key}`, `pbkdf2_sha256$${'9'.repeat(400)}$salt$${key}`, `$pbkdf2-sha256$i=5000001$c2FsdA$${key}`,
    `scrypt$1048576$salt$8$1$${key}`, `scrypt$16384$salt$8$33$${key}`, `scrypt$16384$salt$0$1$${key}`, `scrypt$16384$salt$8$0$${key}`, `scrypt$16383$salt$8$1$${key}`,
    `scrypt$1$salt$8$1$${key}`, `scrypt$2$salt$2000000$1$${key}`, `$scrypt$ln=22,r=8,p=1$c2FsdA$${key}`, `$scrypt$ln=99,r=1,p=1$c2FsdA$${key}`, `$scrypt$ln=0,r=1,p=1$c2FsdA$${key}`,
    `$argon2id$v=19$m=262145,t=1,p=1$c2FsdHNhbHQ$${key}`, `$argon2id$v=19$m=262144,t=5,p=1$c2FsdHNhbHQ$${key}`, `$argon2id$v=19$m=1024,t=0,p=1$c2FsdHNhbHQ$${key}`,
    `$argon2id$v=19$m=1024,t=1,p=0$c2FsdHNhbHQ$${key}`, `$argon2id$v=19$m=1024,t=1,p=65$c2FsdHNhbHQ$${key}`, `$argon2id$v=19$m=31,t=1,p=4$c2FsdHNhbHQ$${key}`,
    `$2b$16$${'a'.repeat(53)}`, `$2b$03$${'a'.repeat(53)}`
  ]
  const damaged = [
    `pbkdf2_sha256$1000$salt$${short}`, `pbkdf2_sha256$1000$salt$${base64('k'.repeat(129))}`, `pbkdf2_sha256$1000$salt$${key}\n`, 'pbkdf2_sha256$1000$salt$?????', `pbkdf2_sha256$1000$${'s'.repeat(1025)}$${key}`,
    `$argon2id$v=19$m=1024,t=1,p=1$c2FsdA$${key}`, `$scrypt$ln=4,r=8,p=1$c2FsdA$${short}`
  ]
  for (const stored of [...costly, ...damaged]) t.strictSame(readForeignHash(stored), { outcome: 'refused', reason: 'password hash: its parameters are damaged, or would cost too much' }, stored.slice(0, 50))

  const others = [
    PASSWORD, `md5$salt$${'a'.repeat(32)}`, `sha1$salt$${'a'.repeat(40)}`, 'a'.repeat(32), `pbkdf2_md5$1000$salt$${key}`, `pbkdf2_sha256$1e3$salt$${key}`, `pbkdf2_sha256$-1$salt$${key}`, `pbkdf2_sha256$1000$$${key}`,
    `$argon2id$v=16$m=1024,t=1,p=1$c2FsdHNhbHQ$${key}`, `$argon2id$m=1024,t=1,p=1$c2FsdHNhbHQ$${key}`, `$2x$04$${'a'.repeat(53)}`, `$2b$04$${'a'.repeat(52)}`, `bcrypt_sha512$$2b$04$${'a'.repeat(53)}`,
    `$6$salt$${'a'.repeat(86)}`, ` $2b$04$${'a'.repeat(53)}`
  ]
  const passwords = createPasswords(settings(path))
  t.teardown(passwords.close)
  for (const stored of others) {
    t.strictSame(readForeignHash(stored), { outcome: 'refused', reason: 'password hash: expected Django\'s or PHC\'s form of bcrypt, PBKDF2, scrypt or Argon2' }, stored.slice(0, 50))
    t.match(await passwords.verify(PASSWORD, stored), { matches: false })
  }
})
