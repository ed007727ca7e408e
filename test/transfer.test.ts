import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { run } from '../src/commands.ts'
import { progressTo } from '../src/commands/terminal.ts'
import { loadConfig } from '../src/config.ts'
import { createSigningKey } from '../src/keys.ts'
import { loadSecrets } from '../src/secrets.ts'
import { build, folder, login, refresh, register, registerAndLogin, START } from './fixtures/app.ts'
import { select, sql, tokensAnswer } from './fixtures/accounts.ts'
import { exported, imported, terminal } from './fixtures/commands.ts'
import { dataIn } from './fixtures/database.ts'
import { SECRET } from './fixtures/postgres.ts'
import { adjustableClocks } from './fixtures/timers.ts'

const alive = { access: 200, refresh: 200 }
const withSecret = { LATCHKEY_SECRET: SECRET }

/** A database of the kind that this suite is about. */
const here = (path: string) => ({ ...dataIn(path), ...withSecret })
/** A SQLite file, whatever the suite is about. */
const inFile = (path: string) => ({ DATABASE_URL: `file:${join(path, 'latchkey.db')}`, ...withSecret })

/** A service in a SQLite file with two users, one of them logged in; its export. */
async function house (t: Test) {
  const path = folder(t)
  const app = await build(t, { path, env: inFile(path) })
  const { refresh_token: token } = await registerAndLogin(app)
  const pair = (await refresh(app, token)).json()
  await register(app, 'Bob', { email: 'bob@example.com' })
  await app.close()
  return { pair, lines: await exported(inFile(path)) }
}

t.test('latchkey export and import, from a SQLite file and back → every token, name and password is as good as before', async (t) => {
  const { pair, lines } = await house(t)
  const [there, back] = [folder(t), folder(t)]
  t.strictSame(await imported(here(there), lines), ['4 added, 0 there already, 0 refused'])
  const app = await build(t, { path: there, env: withSecret })
  t.strictSame(await tokensAnswer(app, pair), alive)
  await login(app, 'bob@example.com')
  const newest = await login(app)
  await app.close()

  await imported(inFile(back), await exported(here(there)))
  const home = await build(t, { path: back, env: inFile(back) })
  t.strictSame(await tokensAnswer(home, newest), alive)
  t.strictSame(await tokensAnswer(home, pair), { access: 200, refresh: 200 }, 'within its grace a token that was used gives the same answer')
})

t.test('latchkey import twice → once; what is there stays as it is', async (t) => {
  const { lines } = await house(t)
  const path = folder(t)
  await imported(here(path), lines)
  sql(path, 'UPDATE users SET username = ? WHERE username_key = ?', 'BOB', 'bob')
  const before = select(path, 'SELECT * FROM users ORDER BY id')
  t.strictSame(await imported(here(path), lines), ['0 added, 4 there already, 0 refused'])
  t.strictSame(select(path, 'SELECT * FROM users ORDER BY id'), before)
  t.equal(select(path, 'SELECT * FROM sessions').length, 1)
  t.strictSame(select(path, 'SELECT details FROM audit_events WHERE event = ? ORDER BY id', 'data_imported').map(({ details }) => JSON.parse(String(details))), [
    { added: 4, known: 0, refused: 0 }, { added: 0, known: 4, refused: 0 }
  ])
})

t.test('latchkey import of a name that another account has → it and its sessions are refused by name, the rest is there', async (t) => {
  const { lines } = await house(t)
  const path = folder(t)
  await imported(here(path), lines.split('\n').slice(0, 2).join('\n'))
  const app = await build(t, { path, env: withSecret })
  await register(app, 'ADA')
  await app.close()
  await t.rejects(imported(here(path), lines), { name: 'Refused', message: /refused, for .*: user ada, session [0-9a-f-]{36}$/ })
  t.strictSame(select(path, 'SELECT username FROM users ORDER BY username_key'), [{ username: 'ADA' }, { username: 'Bob' }])
  t.strictSame(select(path, 'SELECT * FROM sessions'), [])
})

t.test('latchkey import of many refused rows → the first twenty by name, and how many more', async (t) => {
  const { lines } = await house(t)
  const [header = '', , user = ''] = lines.split('\n')
  const row = JSON.parse(user).user
  const clashing = Array.from({ length: 22 }, (_, n) => JSON.stringify({ user: { ...row, id: `id-${n}`, username: `${row.username}-${n}` } }))
  const path = folder(t)
  await imported(here(path), [header, user].join('\n'))
  await t.rejects(imported(here(path), [header, ...clashing].join('\n')), { message: /-0, .*-19 and 2 more$/ })
})

t.test('latchkey import of a refused row whose name would forge a line → in one line, with nothing in it that a terminal obeys', async (t) => {
  const { lines } = await house(t)
  const [header = '', , , , session = ''] = lines.split('\n')
  const row = { session: { ...JSON.parse(session).session, id: 'a\u001b[31mEVIL\nlatchkey: all good\u009b' } }
  await t.rejects(imported(here(folder(t)), [header, JSON.stringify(row)].join('\n')), { message: /: session a\ufffd\[31mEVIL\ufffdlatchkey: all good\ufffd$/ })
})

t.test('latchkey import of two keys that begin at one moment → one of them is refused by name', async (t) => {
  const { lines } = await house(t)
  const [header = '', key = ''] = lines.split('\n')
  const { primary } = loadSecrets(loadConfig(here(folder(t))))
  const second = JSON.stringify({ signing_key: await createSigningKey('ES256', primary, { now: START, activeFrom: JSON.parse(key).signing_key.activeFrom }) })
  await t.rejects(imported(here(folder(t)), [header, key, second].join('\n')), { message: /: signing key [\w-]{43}$/ })
})

t.test('latchkey import into a database with signing keys of its own, or under another secret → refused in one line, and nothing is written', async (t) => {
  const { lines } = await house(t)
  const path = folder(t)
  const app = await build(t, { path, env: withSecret })
  await app.close()
  await t.rejects(imported(here(path), lines), { name: 'ImportError', message: /signing keys of its own/ })
  t.strictSame(select(path, 'SELECT id FROM users'), [])

  const other = folder(t)
  await t.rejects(imported({ ...here(other), LATCHKEY_SECRET: 'k3v9Qw7xTz1mB5nR8sY2uC6pL0dF4gHj' }, lines), { name: 'ImportError', message: /^LATCHKEY_SECRET: / })
  t.strictSame(select(other, 'SELECT kid FROM signing_keys'), [])
})

t.test('latchkey import of what is no export → refused in one line that names the line; what came before it stays, and the whole can be imported after', async (t) => {
  const { lines } = await house(t)
  const [header = '', key = '', ...rest] = lines.trim().split('\n')
  for (const nothing of ['', 'x', '{}', '[1]', header.replace('"version":1', '"version":2'), key]) {
    await t.rejects(imported(here(folder(t)), nothing), { name: 'ImportError', message: /^line 1: expected the header/ }, nothing)
  }
  const path = folder(t)
  const user = rest.find((line) => line.startsWith('{"user"')) ?? ''
  const bad = ['{', '{}', 'null', '{"user":{}}', user.replace('"id":', '"ident":'), user.replace('"emailVerified":false', '"emailVerified":"no"'), '{"password":"x"}', '{"user":{},"session":{}}']
  for (const line of bad) {
    await t.rejects(imported(here(path), [header, key, line].join('\n')), { name: 'ImportError', message: /^line 3: expected a signing key, a user or a session/ }, line)
  }
  await imported(here(path), lines)
  t.equal(select(path, 'SELECT id FROM users').length, 2)
})

t.test('latchkey import of a row that no Latchkey wrote → refused in one line that names the line, and why; a key that was revoked, and a name of an older release, may be as they are', async (t) => {
  const { lines } = await house(t)
  const [header = '', ...rest] = lines.trim().split('\n')
  const [key, user, session] = ['signing_key', 'user', 'session'].map((kind) => JSON.parse(rest.find((line) => line.startsWith(`{"${kind}"`)) ?? ''))
  const changed = (row: object, change: object) => Object.fromEntries(Object.entries(row).map(([kind, values]) => [kind, { ...values, ...change }]))
  const [storable, name, altered] = ['a number is out of range, or a text has a NUL in it', 'no account can have this name or this address', 'the signing key was altered, or is encrypted under a secret that is not configured']
  const foreign = { publicJwk: 'xx', kid: createHash('sha256').update('xx').digest('base64url') }
  const cases: [object, string][] = [
    [changed(user, { createdAt: 8.64e15 + 1 }), storable], [changed(user, { lastLoginAt: 253_402_300_800_000 }), storable], [changed(user, { disabledAt: -1 }), storable],
    [changed(session, { rotatedAt: Number.MAX_SAFE_INTEGER }), storable], [changed(key, { activeFrom: 8.64e15 + 1 }), storable],
    [changed(user, { username: 'a\0b' }), storable], [changed(user, { externalId: '\0' }), storable], [changed(session, { userAgent: '\0' }), storable],
    ...['', 'a b', 'a\nb', '\u001b[31m', '\ud800', 'a@b@example.com', '@'].flatMap((text): [object, string][] => [
      [changed(user, { username: text }), name], [changed(user, { usernameKey: text }), name], [changed(user, { email: text }), name], [changed(user, { emailKey: text }), name]
    ]),
    [changed(user, { claims: 'not json' }), 'claims: expected a JSON object, such as {"is_admin":true}'], [changed(user, { claims: '{"sub":"eve"}' }), 'claims: "sub" is reserved'],
    [changed(key, { alg: 'HS256' }), altered], [changed(key, { alg: 'ES384' }), altered], [changed(key, { publicJwk: 'xx' }), altered], [changed(key, foreign), altered],
    [changed(key, { kid: 'x' }), altered], [changed(key, { encryptedKey: 'xx' }), altered], [changed(key, { keyId: 'other' }), altered]
  ]
  const path = folder(t)
  for (const [row, why] of cases) {
    await t.rejects(imported(here(path), [header, JSON.stringify(row)].join('\n')), { name: 'ImportError', message: `line 2: ${why}` }, JSON.stringify(row))
  }
  t.strictSame(select(path, 'SELECT id FROM users'), [])
  const older = [changed(key, { ...foreign, revokedAt: START }), changed(user, { username: 'old\ufe0f', email: 'old\ufe0f@example.com' })]
  t.strictSame(await imported(here(path), [header, ...older.map((row) => JSON.stringify(row))].join('\n')), ['2 added, 0 there already, 0 refused'])
})

t.test('latchkey export and import of more than a page → all of it, with how far it is on standard error', async (t) => {
  const { lines } = await house(t)
  const [header = '', , user = ''] = lines.split('\n')
  const row = JSON.parse(user).user
  const users = Array.from({ length: 1_201 }, (_, n) => JSON.stringify({ user: { ...row, id: `id-${String(n).padStart(4, '0')}`, username: `u${n}`, usernameKey: `u${n}`, email: null, emailKey: null } }))
  const path = folder(t)
  const told: string[] = []
  const tell = (line: string) => told.push(line)
  t.strictSame(await imported(here(path), [header, ...users].join('\n'), { tell }), ['1201 added, 0 there already, 0 refused'])
  t.equal(told.at(-1), '1201 rows read')
  const again = await exported(here(path), { tell })
  t.strictSame(again.trim().split('\n'), [header, ...users])
  t.equal(told.at(-1), '1201 rows exported')
})

t.test('a command that takes long → how far it is, once a second and at the end', async (t) => {
  const told: string[] = []
  const advance = adjustableClocks(t)
  const { progress, done } = progressTo(terminal([], { tell: (line) => told.push(line) }), 'row read', 'rows read')
  for (const rows of [1, 2, 3, 4]) {
    advance(600)
    progress(rows)
  }
  done()
  t.strictSame(told, ['2 rows read', '4 rows read', '4 rows read'])
  progress(1)
  done()
  t.equal(told.at(-1), '1 row read', 'not 1 rows')
})

t.test('latchkey export to a reader that is slow → waits for it', async (t) => {
  const { lines } = await house(t)
  const path = folder(t)
  await imported(here(path), lines)
  const output = new PassThrough({ highWaterMark: 1 })
  const done = run(['export'], terminal([], { env: here(path), output }))
  await once(output, 'readable')
  t.equal((await Promise.race([done.then(() => 'done'), new Promise((resolve) => setTimeout(resolve, 50, 'waits'))])), 'waits')
  output.resume()
  await done
})

t.test('latchkey migrate → the tables are made, once; --check only looks', async (t) => {
  const path = folder(t)
  writeFileSync(join(path, 'latchkey.db'), '')
  const migrate = async (...args: string[]) => {
    const printed: string[] = []
    await run(['migrate', ...args], terminal(printed, { env: here(path) }))
    return printed
  }
  await t.rejects(migrate('--check'), { name: 'Refused', message: 'migrations are missing; latchkey migrate makes them' })
  t.strictSame(await migrate(), ['the tables are up to date; migrations made: 2'])
  t.strictSame(await migrate(), ['the tables are up to date'])
  t.strictSame(await migrate('--check'), ['the tables are up to date'])
  t.strictSame(select(path, 'SELECT id FROM users'), [])
})
