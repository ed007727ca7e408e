import fc from 'fast-check'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { gzipSync } from 'node:zlib'
import { canonical, emailKey } from '../src/identity.ts'
import { openDatabase } from '../src/db/open.ts'
import { accountOf } from '../src/users-import/account.ts'
import type { Accounts } from '../src/users-import/accounts.ts'
import { importUsers } from '../src/users-import/import.ts'
import { readLines } from '../src/users-import/ndjson.ts'
import { build, folder, login, register, START, tryLogin } from './fixtures/app.ts'
import { select } from './fixtures/accounts.ts'
import { databaseIn } from './fixtures/database.ts'
import { DUMP, importDjango, type ImportRun, runImport } from './fixtures/django.ts'
import { userRow } from './fixtures/rows.ts'

/** PBKDF2 of `correct horse battery staple`, of one round. */
const HASH = 'pbkdf2_sha256$1$salt$ouhwH5QjXU2O1gHvuMrHWhFGwGQ8zEmYRlu7N1suuDo='
const dump = readFileSync(DUMP)

const rows = (path: string) => select(path, 'SELECT * FROM users ORDER BY username_key')
const events = (path: string) => select(path, 'SELECT details FROM audit_events WHERE event = ? ORDER BY id', 'data_imported').map(({ details }) => JSON.parse(String(details)))

const given = (path: string, form: 'django' | 'ndjson', content: string | Buffer, ...options: string[]) =>
  runImport(path, ['-', '--from', form, ...options], { input: Readable.from([content]) })
const lines = (...accounts: object[]) => accounts.map((account) => JSON.stringify({ password_hash: HASH, ...account })).join('\n')

/** The import of one line, which is refused for this reason. */
async function isRefused (t: Test, path: string, account: object, reason: string | RegExp) {
  const { told, printed, error } = await given(path, 'ndjson', lines({ username: 'refused', ...account }))
  t.match(told[0], reason)
  t.match({ printed, error }, { printed: ['0 added, 0 there already, 1 refused'], error: '1 refused; the lines above tell why' })
}

const refusedOfDump = [
  "item 15, pk 15, md5: refused: password hash: expected Django's or PHC's form of bcrypt, PBKDF2, scrypt or Argon2",
  'item 16, pk 16, ADA: refused: another account has this name, perhaps with other capitals',
  'item 17, pk 17, grace hopper: refused: username: letters, digits and . + - _ alone',
  'item 18, pk 18, old@example.com: refused: its name is the e-mail address of another account',
  "item 19, pk 19, moved@example.com: refused: username: with an @ it has to be the account's own e-mail address"
]
const changedOfDump = [
  'item 13, pk 13, no-address: added without an e-mail address: its e-mail address is none by the rules here',
  'item 14, pk 14, same-address: added without an e-mail address: another account has it'
]

function tells (t: Test, { told, read, printed, error }: ImportRun, expected: { lines: string[], summary: string, error?: string }) {
  t.strictSame(told.sort(), expected.lines.toSorted())
  t.equal(read, '20 entries read')
  t.strictSame(printed, [expected.summary])
  t.equal(error, expected.error)
}

t.test('latchkey users import --from django: every account with its names, times, claims and old id; the refused are told', async (t) => {
  const path = folder(t)
  const imported = await importDjango(path, '--claims', 'is_staff,is_superuser')
  const refused = { summary: '14 added, 0 there already, 5 refused, 1 of other models skipped', error: '5 refused; the lines above tell why' }
  tells(t, imported, { ...refused, lines: [...refusedOfDump, ...changedOfDump] })
  t.strictSame(events(path), [{ added: 14, known: 0, refused: 5 }])

  const joined = Date.UTC(2021, 2, 4, 5, 6, 7, 890)
  const byName = new Map(rows(path).map((row) => [row['username'], row]))
  t.match(byName.get('ada'), {
    id: /^[0-9a-f-]{36}$/,
    username_key: 'ada',
    email: 'Ada@Example.com',
    email_key: 'ada@example.com',
    password_hash: /^pbkdf2_sha256\$1000000\$/,
    claims: '{"is_superuser":true,"is_staff":true}',
    external_id: '1',
    disabled_at: null,
    created_at: joined,
    last_login_at: joined + 86_400_000
  })
  t.notOk(byName.get('ada')?.['email_verified'])
  t.match(byName.get('inactive'), { disabled_at: Number, claims: '{"is_superuser":false,"is_staff":false}', last_login_at: null, email: null })
  t.match(byName.get('mail@example.com'), { email: 'Mail@example.com', username_key: 'mail@example.com' })
  t.match(byName.get('only.a.name@example.com'), { email: 'only.a.name@example.com', email_key: 'only.a.name@example.com' })
  for (const name of ['no-address', 'same-address']) t.match(byName.get(name), { email: null, email_key: null })

  const before = rows(path)
  tells(t, await importDjango(path, '--claims', 'is_staff'), { ...refused, summary: '0 added, 14 there already, 5 refused, 1 of other models skipped', lines: refusedOfDump })
  t.strictSame(rows(path), before, 'twice changes nothing')
})

t.test('POST /login of an imported user → 200, with the old id as user_id and the claims in the access token, by name or address', async (t) => {
  const path = folder(t)
  await given(path, 'ndjson', lines({ username: 'Ada', email: 'ada@example.com', email_verified: true, external_id: '42', claims: { is_staff: true }, created_at: '2020-01-02T03:04:05+01:00' }))
  const app = await build(t, { path })
  for (const name of ['ada', 'ADA@example.com']) {
    const { access_token: token } = await login(app, name)
    t.match(JSON.parse(Buffer.from(String(token.split('.')[1]), 'base64url').toString()), { user_id: '42', is_staff: true })
    const { statusCode, body } = await app.inject({ url: '/me', headers: { authorization: `Bearer ${token}` } })
    t.equal(statusCode, 200)
    t.match(JSON.parse(body), { username: 'Ada', email: 'ada@example.com', email_verified: true, created_at: '2020-01-02T02:04:05.000Z' })
  }
})

t.test('--dry-run → the same report and nothing is written; not even what another account of the file is in the way of is missed', async (t) => {
  const path = folder(t)
  await given(path, 'ndjson', lines({ username: 'sha1', external_id: '3' }, { username: 'scrypt', external_id: 'other' }))
  const before = rows(path)
  tells(t, await importDjango(path, '--dry-run'), {
    summary: 'nothing is written; it would be: 12 added, 1 there already, 6 refused, 1 of other models skipped',
    error: '6 refused; the lines above tell why',
    lines: [...refusedOfDump, ...changedOfDump, 'item 6, pk 6, scrypt: refused: another account has this name, perhaps with other capitals']
  })
  t.match(await given(path, 'ndjson', lines({ username: 'new', email: 'new@example.com' }, { username: 'NEW' }, { username: 'other', email: 'New@Example.com' }), '--dry-run'), {
    printed: ['nothing is written; it would be: 2 added, 0 there already, 1 refused'],
    told: ['line 2, NEW: refused: another account has this name, perhaps with other capitals', 'line 3, other: added without an e-mail address: another account has it']
  })
  t.strictSame(rows(path), before)
  t.equal(events(path).length, 1)
})

t.test('a file, compressed or not, and standard input, byte by byte → the same; --report: the reasons in a file for its owner alone', async (t) => {
  const [path, compressed, report] = [folder(t), join(folder(t), 'users.json.gz'), join(folder(t), 'report')]
  writeFileSync(compressed, gzipSync(dump))
  const byBytes = (content: Buffer) => Readable.from([...[...content.subarray(0, 500)].map((byte) => Buffer.from([byte])), content.subarray(500)])
  const known = '0 added, 14 there already, 5 refused, 1 of other models skipped'
  t.match(await runImport(path, [DUMP, '--from', 'django']), { printed: ['14 added, 0 there already, 5 refused, 1 of other models skipped'] })
  for (const args of [[compressed, '--from', 'django'], ['--from', 'django', '-']]) {
    t.match(await runImport(path, args, { input: byBytes(gzipSync(dump)) }), { printed: [known] })
  }
  t.match(await runImport(path, ['-', '--from', 'django'], { input: byBytes(dump) }), { printed: [known] })

  const { told, error } = await importDjango(path, '--report', report)
  t.strictSame({ told, error }, { told: [], error: `5 refused; ${report} tells why` })
  t.strictSame(readFileSync(report, 'utf8').split('\n').sort(), ['', ...refusedOfDump])
  t.equal(statSync(report).mode & 0o777, 0o600)
  t.match(await importDjango(path, '--report', path), { error: /^--report: the file cannot be written: EISDIR/ })
})

t.test('what is no dump, or only a part of one → refused in one line that says where', async (t) => {
  const path = folder(t)
  mkdirSync(join(path, 'a-folder'))
  const notADump = 'expected the JSON array that manage.py dumpdata writes'
  const damagedAt = (line: number, column: number) => `line ${line}, column ${column}: the JSON is damaged, or the file ends too soon; expected what manage.py dumpdata writes`
  for (const [content, error] of [
    ['', damagedAt(1, 1)], ['x', damagedAt(1, 1)], ['[', damagedAt(1, 2)], ['[]\n[]', damagedAt(2, 1)], ['{}', notADump], ['"x"', notADump], ['[]', 'there is nothing in the file'],
    ['[{"model":"a.b"},{"pk":1}]', 'item 2: expected a model, a pk and fields'], ['[1]', 'item 1: expected a model, a pk and fields'],
    [dump.subarray(0, 4_000), damagedAt(173, 27)],
    [dump.toString().replace('"pk": 3,', '"pk" 3,'), damagedAt(42, 7)],
    [gzipSync(dump).subarray(0, -9), 'the file cannot be read: unexpected end of file'],
    [Buffer.concat([gzipSync(dump).subarray(0, 10), dump]), /^the file cannot be read: invalid /]
  ] as const) t.match(await given(path, 'django', content), { printed: [], error }, String(error))

  const notALine = 'expected a JSON object; this is none, or the file ends too soon'
  for (const [content, error] of [
    ['', 'there is nothing in the file'], ['\n \n', 'there is nothing in the file'], [`${lines({ username: 'a' })}\n\n{"username"`, `line 3: ${notALine}`], ['x', `line 1: ${notALine}`],
    [Buffer.from([0xff, 0xff]), 'the file is no UTF-8'], [Buffer.from([0xc3]), 'the file is no UTF-8'], [dump.toString().replaceAll('\n', ' ').repeat(10), /^expected one JSON object in each line/]
  ] as const) t.match(await given(path, 'ndjson', content), { printed: [], error }, String(error))

  for (const [args, error] of [
    [[join(path, 'nowhere'), '--from', 'django'], /^the file cannot be read: ENOENT/], [[join(path, 'a-folder'), '--from', 'ndjson'], /^the file cannot be read: EISDIR/],
    [[DUMP], /^required option '--from <form>'/], [[DUMP, '--from', 'rails'], /^option '--from <form>' argument 'rails' is invalid. Allowed choices are django, ndjson/],
    [[join(path, 'nowhere'), '--from', 'django', '--claims', 'is_staff,sub'], '--claims: "sub" is reserved'],
    [[DUMP, '--from', 'django', '--model', 'accounts.Member'], 'there is no accounts.Member in the file, but auth.user, auth.group; --model names the model of the users']
  ] as const) t.match(await runImport(path, [...args]), { error }, args.join(' '))
  t.strictSame(rows(path), [])
})

t.test('--model: a user model of their own, whose users log in with their address and have a UUID', async (t) => {
  const path = folder(t)
  const member = (pk: unknown, fields: object) => ({ model: 'accounts.member', pk, fields: { password: HASH, ...fields } })
  const content = JSON.stringify([
    member('b5f9a3c2-0000-4000-8000-000000000001', { email: 'Ada@example.com', joined: 'long ago' }), member(2 ** 53, { email: 'b@example.com' }), member(3, {}),
    member('\u001b[31m\u009b', { email: 'c@example.com' }), member(5, { email: 'd@example.com', password: null }), { model: 'accounts.member', pk: 6, fields: [] }
  ])
  const { told, printed } = await given(path, 'django', content, '--model', 'accounts.Member')
  t.match(rows(path), [{ username: 'Ada@example.com', username_key: 'ada@example.com', email: 'Ada@example.com', external_id: 'b5f9a3c2-0000-4000-8000-000000000001' }])
  t.strictSame(printed, ['1 added, 0 there already, 5 refused'])
  t.match(told, [
    /^item 2: refused: pk: expected /, 'item 3, pk 3, : refused: username: it is empty', 'item 4, pk \ufffd[31m\ufffd, c@example.com: refused: id: 1 to 255 bytes',
    'item 5: refused: fields/password: expected string', 'item 6: refused: fields: expected object'
  ])
})

t.test('a line that cannot become an account → told with its reason, with every reason at once, and nothing that a terminal obeys', async (t) => {
  const path = folder(t)
  await isRefused(t, path, { username: undefined }, 'line 1: refused: username: expected required property')
  await isRefused(t, path, { passwordHash: 'x' }, 'line 1: refused: passwordHash: unexpected property')
  await isRefused(t, path, { username: '\u001b]0;x\u0007\n\u202e' }, 'line 1, \ufffd]0;x\ufffd\ufffd\ufffd: refused: username: ')
  await isRefused(t, path, { username: 'admin\ufe0f' }, /: refused: username: letters, digits /)
  await isRefused(t, path, { username: 'x'.repeat(151) }, /^line 1, x{80}: refused: username: at most 150 characters$/)
  await isRefused(t, path, { username: '', claims: { sub: 1 }, password_hash: 'x', external_id: '', created_at: 'x' }, /: username: it is empty; password hash: .*; claims: "sub" is reserved; id: 1 to 255 bytes; a time: /)
  for (const time of ['2026-13-01T00:00:00Z', '1969-12-31T23:59:59Z', '2026-01-01', '1', 'now']) await isRefused(t, path, { last_login_at: time }, /: a time: expected one such as /)
  for (const id of ['x'.repeat(256), '字'.repeat(86), 'a\u0000b', '\ud800']) await isRefused(t, path, { external_id: id }, /: id: 1 to 255 bytes$/)
  t.strictSame(rows(path), [])
})

t.test('a line whose claims have thousands of levels → refused like others that have too many, and the lines after it are imported', async (t) => {
  const path = folder(t)
  const deep = lines({ username: 'deep', claims: { a: 0 } }).replace('"a":0', `"a":${'['.repeat(30_000)}${']'.repeat(30_000)}`)
  const run = await given(path, 'ndjson', `${deep}\n${lines({ username: 'ada' })}`)
  t.match(run, { told: ['line 1, deep: refused: claims: expected at most 3 levels'], printed: ['1 added, 0 there already, 1 refused'] })
})

t.test('accounts without an old id: twice is once; one that somebody registered, with another address or an id, is another', async (t) => {
  const path = folder(t)
  const app = await build(t, { path })
  await register(app, 'taken', { email: 'taken@example.com' })
  const content = lines({ username: 'a', email: 'a@example.com' }, { username: 'b' }, { username: 'c', external_id: '1' })
  t.match(await given(path, 'ndjson', content), { printed: ['3 added, 0 there already, 0 refused'], error: undefined })
  t.match(await given(path, 'ndjson', content), { printed: ['0 added, 3 there already, 0 refused'], error: undefined })
  await isRefused(t, path, { username: 'TAKEN' }, /another account has this name/)
  await isRefused(t, path, { username: 'c' }, /another account has this name/)
  await isRefused(t, path, { username: 'd', external_id: '1' }, /another account came with this id/)
  t.equal((await tryLogin(app, 'taken')).statusCode, 200, 'with the password that it had')
})

t.test('a name that somebody takes between the two tries of an import → refused', async (t) => {
  const { store, close } = await openDatabase(databaseIn(folder(t)))
  t.teardown(close)
  await store.insertUser(userRow('owner', { emailKey: 'a@example.com' }))
  const accounts: Accounts = {
    ...store,
    insertUsers: async (users) => {
      if (users[0]?.email === null) await store.insertUser(userRow('quick', { usernameKey: 'slow' }))
      return await store.insertUsers(users)
    }
  }
  const told: string[] = []
  const entries = readLines(Readable.from([Buffer.from(lines({ username: 'slow', email: 'a@example.com' }))]))
  t.match(await importUsers(entries, { accounts, now: () => START, report: (line) => told.push(line), progress: () => {}, ended: async () => {} }), { added: 0, refused: 1 })
  t.strictSame(told, ['line 1, slow: refused: another account has this name'])
})

t.test('a file that is damaged after many accounts → those may be there, the audit tells how many, and the mended file adds the others', async (t) => {
  const path = folder(t)
  const accounts = Array.from({ length: 600 }, (_, n) => ({ username: `user${n}` }))
  t.match(await given(path, 'ndjson', `${lines(...accounts)}\n{`), { error: /^line 601: / })
  t.strictSame(events(path), [{ added: 500, known: 0, refused: 0 }])
  t.match(await given(path, 'ndjson', lines(...accounts)), { printed: ['100 added, 500 there already, 0 refused'], error: undefined })
})

t.test('more accounts than a statement takes, some of them twice → the first of two, in one order on every database', async (t) => {
  const path = folder(t)
  const accounts = Array.from({ length: 1_203 }, (_, n) => ({ username: `user${n % 1_200}`, email: `mail${n % 1_201}@example.com`, external_id: String(n) }))
  const { printed, told, read } = await given(path, 'ndjson', lines(...accounts))
  t.strictSame(printed, ['1200 added, 0 there already, 3 refused'])
  t.strictSame(told.map((line) => line.split(':')[0]), ['line 1201, user0', 'line 1202, user1', 'line 1203, user2'])
  t.equal(read, '1203 entries read')
  t.strictSame(select(path, 'SELECT external_id FROM users WHERE username = ?', 'user1'), [{ external_id: '1' }])
})

t.test('whatever an account is like, what becomes of it keeps the rules of an account, or there are reasons', async (t) => {
  const name = fc.oneof(fc.string({ unit: 'grapheme' }), fc.stringMatching(/^[\w.]{1,8}(@[a-z]{1,4}\.[a-z]{2,3})?$/))
  const incoming = fc.record({
    username: name,
    email: fc.oneof(fc.constant(null), name),
    emailVerified: fc.boolean(),
    passwordHash: fc.oneof(fc.constantFrom(HASH, '', '!x'), fc.string()),
    externalId: fc.oneof(fc.constant(null), fc.string()),
    disabled: fc.boolean(),
    claims: fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 })),
    createdAt: fc.constantFrom(null, '2026-01-31T12:00:00', 'x'),
    lastLoginAt: fc.constantFrom(null, '2026-01-31 12:00:00.5+02:00')
  })
  fc.assert(fc.property(incoming, (one) => {
    const mapped = accountOf(one, START)
    if ('reasons' in mapped) return mapped.reasons.length > 0 && mapped.reasons.every((reason) => reason !== '')
    const { user, without } = mapped
    const ownName = !user.username.includes('@') || user.emailKey === user.usernameKey
    const address = user.email === null ? user.emailKey === null && !user.emailVerified : user.emailKey === emailKey(user.email)
    const lost = (one.email ?? '') !== '' && user.email === null
    return canonical(user.username) !== '' && ownName && address && lost === (without !== undefined) &&
      user.passwordHash === (one.passwordHash === HASH ? HASH : '!') && user.externalId === one.externalId && (user.disabledAt !== null) === one.disabled
  }), { numRuns: 300 })
  t.pass('for 300 accounts')
})
