import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { build } from '../src/app.ts'
import { ConfigError, loadConfig } from '../src/config.ts'
import { exitCodes } from '../src/exit-codes.ts'
import { Unavailable } from '../src/unavailable.ts'
import { explain } from '../src/start-errors.ts'
import { bearer, folder, PASSWORD } from './fixtures/app.ts'
import { ask, call, portOf } from './fixtures/process.ts'
import { dataIn, startServer } from './fixtures/server.ts'

const SECRET = 'KqX7w0aVd9ZpR3sYtB5nMgJcH2fLuE8iO4xQ'
const credentials = { username: 'ada', password: PASSWORD }
const mode = (path: string) => statSync(path).mode & 0o777

t.test('the first start makes its data, readable by its owner alone, and prints where it listens, the docs and the data', async (t) => {
  const cwd = folder(t)
  const server = startServer(t, {}, { cwd, counted: true })
  const origin = await server.origin
  const path = join(cwd, 'data')
  t.match(origin, /^http:\/\/127\.0\.0\.1:\d+$/)
  t.equal((await ask(`${origin}/readyz`)).status, 200)
  t.equal((await ask(`${origin}/docs`)).status, 200)
  t.equal((await call(origin, '/register', credentials))?.status, 201)

  t.equal(mode(path), 0o700)
  const files = readdirSync(path).sort()
  t.strictSame(files, ['latchkey.db', 'latchkey.db-shm', 'latchkey.db-wal', 'secret'])
  for (const file of files) t.equal(mode(join(path, file)), 0o600, file)

  const { code, out, err } = await server.stop('SIGTERM')
  t.equal(code, 0)
  t.equal(err, `\nLatchkey listens on ${origin}\n  docs    ${origin}/docs\n  issuer  http://localhost:0 (LATCHKEY_PUBLIC_URL)\n  data    ${path}/latchkey.db ` +
    `(back it up with ${path}/secret: one is useless without the other)\n\n`)
  for (const line of out.trimEnd().split('\n')) t.type(JSON.parse(line).msg, 'string')
  t.match(out, /LATCHKEY_BCRYPT_COST is below 10/)
})

t.test('with a secret of its own → no secret file, and no word of one; without docs, no word of them; at cost 10 no warning', async (t) => {
  const path = folder(t)
  const server = startServer(t, { ...dataIn(path), LATCHKEY_SECRET: SECRET, LATCHKEY_DOCS: 'off', LATCHKEY_BCRYPT_COST: '10' }, { counted: true })
  await server.origin
  const { code, out, err } = await server.stop('SIGTERM')
  t.equal(code, 0)
  t.notOk(existsSync(join(path, 'secret')))
  t.equal(err, `\nLatchkey listens on ${await server.origin}\n  issuer  http://localhost:0 (LATCHKEY_PUBLIC_URL)\n  data    ${path}/latchkey.db\n\n`)
  t.notMatch(out + err, new RegExp(`${SECRET}|COST`))
})

t.test('a secret file that every user can read → it starts, and the log warns; of its owner and group → no word', async (t) => {
  for (const [mode, warned] of [[0o644, true], [0o640, false]] as const) {
    const path = folder(t)
    writeFileSync(join(path, 'secret'), SECRET, { mode })
    const server = startServer(t, dataIn(path), { counted: true })
    await server.origin
    const { out } = await server.stop('SIGTERM')
    t.equal(out.includes(`${path}/secret can be read by every user of this machine`), warned)
  }
})

t.test('SIGTERM, SIGINT → exit 0, and the data is there at the next start', async (t) => {
  const path = folder(t)
  const first = startServer(t, dataIn(path))
  await call(await first.origin, '/register', credentials)
  const session = await call(await first.origin, '/login', credentials)
  t.equal((await first.stop('SIGTERM')).code, 0)

  const second = startServer(t, dataIn(path), { counted: true })
  const answer = await ask(`${await second.origin}/me`, { headers: bearer(String(session?.body.access_token)) })
  t.match(await answer.json(), { username: 'ada' }, 'the token of the first opens the second')
  t.equal((await call(await second.origin, '/login', credentials))?.status, 200)
  t.equal((await second.stop('SIGINT')).code, 0)
})

t.test('two servers over the same data → each knows what the other has done', async (t) => {
  const path = folder(t)
  const servers = [startServer(t, dataIn(path)), startServer(t, dataIn(path))] as const
  const [one, other] = await Promise.all([servers[0].origin, servers[1].origin])
  t.equal((await call(one, '/register', credentials))?.status, 201)
  const session = await call(other, '/login', credentials)
  const { access_token: access = '', refresh_token: token } = session?.body ?? {}
  t.equal((await ask(`${one}/private`, { headers: bearer(access) })).status, 200)
  t.equal((await call(one, '/logout', { refresh_token: token }))?.status, 204)
  t.equal((await ask(`${other}/private`, { headers: bearer(access) })).status, 401)
  t.strictSame(await Promise.all(servers.map(async (server) => (await server.stop('SIGTERM')).code)), [0, 0])
})

t.test('.env in the working folder is read; the environment wins', async (t) => {
  const cwd = folder(t)
  writeFileSync(join(cwd, '.env'), 'DATABASE_URL=file:from-file/x.db\nLATCHKEY_REGISTRATION=closed\nLATCHKEY_PUBLIC_URL=https://file.example\n')
  const server = startServer(t, { LATCHKEY_PUBLIC_URL: 'https://environment.example' }, { cwd })
  const origin = await server.origin
  t.match(server.printed.err, `${cwd}/from-file/x.db`)
  t.equal((await call(origin, '/register', credentials))?.body.code, 'registration_closed')
  t.match(await (await ask(`${origin}/.well-known/oauth-authorization-server`)).json(), { issuer: 'https://environment.example' })
  await server.stop('SIGTERM')
})

/** A folder with what stands in the way of a start. */
function obstacles (path: string) {
  const at = (name: string) => join(path, name)
  writeFileSync(at('file'), 'This is no database, although it is long enough to be taken for one.'.repeat(100))
  mkdirSync(at('folder.db'))
  mkdirSync(at('dotenv/.env'), { recursive: true })
  mkdirSync(at('secretive'))
  writeFileSync(at('secretive/secret'), 'too short')
  symlinkSync(at('loop'), at('loop'))
  symlinkSync(at('nowhere'), at('dangling'))
  return at
}

const at = obstacles(folder(t))
const occupied = createServer().listen(0, '127.0.0.1')
await once(occupied, 'listening')
t.teardown(() => occupied.close())

const failures: [string, NodeJS.ProcessEnv, keyof typeof exitCodes, RegExp][] = [
  ['a misspelt setting', { LATCHKEY_ACESS_TTL: '5m' }, 'configuration', /LATCHKEY_ACESS_TTL: no such setting; did you mean LATCHKEY_ACCESS_TTL\?/],
  ['a bad duration', { LATCHKEY_ACCESS_TTL: '15' }, 'configuration', /LATCHKEY_ACCESS_TTL: expected a duration from 5s to 24h, such as .*/],
  ['two settings at fault', { PORT: 'abc', LATCHKEY_ACCESS_TTL: '9' }, 'configuration', /PORT: expected a whole number .*\nlatchkey: LATCHKEY_ACCESS_TTL: expected a duration .*/],
  ['a weak secret', { LATCHKEY_SECRET: 'sentinel' }, 'configuration', /LATCHKEY_SECRET: expected at least 32 random bytes, .*/],
  ['a file where the data folder is to be', { DATABASE_URL: `file:${at('file')}/latchkey.db` }, 'database', /DATABASE_URL: a part of the path is a file \(ENOTDIR\)/],
  ['a data folder that nobody can make', { DATABASE_URL: 'file:/proc/latchkey/latchkey.db' }, 'database', /DATABASE_URL: the data folder cannot be .* \(\w+\)/],
  ['a file that is no database', { DATABASE_URL: `file:${at('file')}`, LATCHKEY_SECRET: SECRET }, 'database', /DATABASE_URL: this file is no SQLite database \(SQLITE_NOTADB\)/],
  ['a port in use', { PORT: String(portOf(occupied)) }, 'configuration', /PORT: another process listens there already \(EADDRINUSE\)/],
  ['a host that does not exist', { HOST: 'nowhere.invalid' }, 'configuration', /HOST: .* \((ENOTFOUND|EAI_AGAIN)\)/]
]

t.test('a start that cannot be → one line for each fault, and the exit code of its kind', { jobs: 2 }, async (t) => {
  for (const [what, env, kind, line] of failures) {
    t.test(`with ${what}`, { buffered: true }, async (t) => {
      const { code, out, err } = await startServer(t, { ...dataIn(folder(t)), LOG_LEVEL: 'silent', ...env }).ended
      t.match(err, new RegExp(`^latchkey: ${line.source}\\n$`))
      t.notMatch(err, /sentinel/)
      t.strictSame({ code, out }, { code: exitCodes[kind], out: '' })
    })
  }

  t.test('with a folder that is called .env', { buffered: true }, async (t) => {
    const { code, err } = await startServer(t, {}, { cwd: at('dotenv'), counted: true }).ended
    t.strictSame({ code, err }, { code: exitCodes.configuration, err: 'latchkey: .env: expected a file that can be read\n' })
  })
})

const badPlaces: [string, string, RegExp][] = [
  ['a file far up the path', 'file/a/b/latchkey.db', /a part of the path is a file \(ENOTDIR\)/],
  ['a link to nowhere as data folder', 'dangling/latchkey.db', /a part of the path is a file, or a link to nowhere \(EEXIST\)/],
  ['a path in a circle', 'loop/latchkey.db', /.* \((EEXIST|ELOOP)\)/],
  ['a name too long', `${'x'.repeat(300)}.db`, /the path is too long \(ENAMETOOLONG\)/],
  ['a folder in place of the database', 'folder.db', /this is a folder \(EISDIR\)/]
]

for (const [what, place, line] of badPlaces) {
  t.test(`a start with ${what} → an error that is explained in one line`, async (t) => {
    const error: unknown = await build(loadConfig({ DATABASE_URL: `file:${at(place)}`, LATCHKEY_SECRET: SECRET, LOG_LEVEL: 'silent' })).catch((error: unknown) => error)
    t.match(explain(error), new RegExp(`^latchkey: DATABASE_URL: ${line.source}$`))
  })
}

t.test('a start with a secret file that holds none → an error that is explained in one line', async (t) => {
  const error: unknown = await build(loadConfig({ DATABASE_URL: `file:${at('secretive/latchkey.db')}` })).catch((error: unknown) => error)
  t.match(explain(error), /^latchkey: \S+\/secretive\/secret: this is no master secret; .*$/)
})

t.test('a start over a damaged database → an error that is explained in one line', async (t) => {
  const path = folder(t)
  const config = loadConfig({ ...dataIn(path), LOG_LEVEL: 'silent' })
  await (await build(config)).close()
  const file = join(path, 'latchkey.db')
  writeFileSync(file, readFileSync(file).fill(0xaa, 4096))
  const error: unknown = await build(config).catch((error: unknown) => error)
  t.match(explain(error), /^latchkey: DATABASE_URL: the database is damaged; restore a backup \(SQLITE_CORRUPT\w*\)$/)
})

t.test('an error that an operator can mend is one line, whatever wraps it; any other keeps its stack', async (t) => {
  const coded = (code: string) => Object.assign(new Error('raw message'), { code })
  t.equal(explain(new ConfigError('PORT: wrong')), 'latchkey: PORT: wrong')
  t.equal(explain(coded('ENOSPC')), 'latchkey: DATABASE_URL: the disk is full (ENOSPC)')
  t.equal(explain(new Unavailable(coded('SQLITE_FULL'))), 'latchkey: DATABASE_URL: the disk is full (SQLITE_FULL)')
  t.equal(explain(coded('SQLITE_READONLY_DIRECTORY')), 'latchkey: DATABASE_URL: the database cannot be written (SQLITE_READONLY_DIRECTORY)')
  t.equal(explain(coded('SQLITE_IOERR_WRITE')), 'latchkey: DATABASE_URL: the disk fails (SQLITE_IOERR_WRITE)')
  for (const cause of ['text', ...['ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT', 'EACCES'].map(coded)]) {
    t.equal(explain(new Unavailable(cause)), 'latchkey: the database is unavailable', String(cause))
  }
  t.equal(explain(Object.assign(coded('EACCES'), { syscall: 'listen' })), 'latchkey: PORT: it is reserved for root (EACCES)')
  t.equal(explain(Object.assign(coded('EADDRINUSE'), { syscall: 'listen' })), 'latchkey: PORT: another process listens there already (EADDRINUSE)')
  t.equal(explain(Object.assign(coded('EACCES'), { syscall: 'mkdir' })), 'latchkey: DATABASE_URL: the data folder cannot be written (EACCES)')
  for (const fault of [new TypeError('ours'), coded('ERR_OF_OURS'), coded('SQLITE_ERROR'), coded('constructor'), 'text', undefined]) {
    t.equal(explain(fault), fault)
  }
})
