import { randomBytes } from 'node:crypto'
import fs, { existsSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { run } from '../src/commands.ts'
import { fingerprint, loadSecrets, type SecretKeys } from '../src/secrets.ts'
import { build, folder, getPrivate, login, PASSWORD, refresh, registerAndLogin, settings } from './fixtures/app.ts'
import { isProblem } from './fixtures/accounts.ts'
import { decode, forge, hmac, secretsOf } from './fixtures/forge.ts'
import { rowOf, select } from './fixtures/refresh.ts'
import { terminal } from './fixtures/commands.ts'

const newSecret = () => randomBytes(36).toString('base64url')

/** A start of the service on `path`; what happens in `work`; its end. */
async function session<T> (t: Test, { path, env = {} }: { path: string, env?: NodeJS.ProcessEnv }, work: (app: Awaited<ReturnType<typeof build>>) => Promise<T>): Promise<T> {
  const app = await build(t, { path, env })
  try {
    return await work(app)
  } finally {
    await app.close()
  }
}

const keyIds = (path: string) => select(path, 'SELECT key_id FROM signing_keys').map((row) => row['key_id'])

t.test('the first start makes a secret beside the database, for its owner alone, and each later one keeps it', async (t) => {
  const path = join(folder(t), 'data')
  const file = join(path, 'secret')
  const tokens = await session(t, { path }, registerAndLogin)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(statSync(path).mode & 0o777, 0o700)
  const made = readFileSync(file, 'utf8')
  t.match(made, /^[\w-]{64}\n$/, '48 random bytes')
  t.strictSame(readdirSync(path).filter((name) => name.startsWith('secret')), ['secret'], 'no draft is left')
  await session(t, { path }, async (app) => {
    t.equal(readFileSync(file, 'utf8'), made)
    t.equal((await getPrivate(app, tokens.access_token)).statusCode, 200)
    t.equal((await refresh(app, tokens.refresh_token)).statusCode, 200)
  })
  writeFileSync(file, ` ${made.trim()}\r\n\n`)
  await session(t, { path }, async (app) => t.equal((await getPrivate(app, tokens.access_token)).statusCode, 200, 'white space is none of it'))
  rmSync(file)
  await session(t, { path, env: { LATCHKEY_SECRET: made.trim() } }, async (app) => t.equal((await getPrivate(app, tokens.access_token)).statusCode, 200, 'moved into the environment'))
  t.notOk(existsSync(file), 'no file is made where a secret is set')
})

t.test('a secret file that holds no secret → no start, and one line that says which file and not what is in it', async (t) => {
  const path = folder(t)
  for (const content of ['', '\n', 'tooshort', 'a'.repeat(64), 'changeme'.repeat(8)]) {
    writeFileSync(join(path, 'secret'), content)
    const message = `${join(path, 'secret')}: this is no master secret; restore the file that belongs to the database beside it`
    await t.rejects(build(t, { path }), { name: 'ConfigError', message })
  }
})

t.test('a secret file that cannot be made → no start', async (t) => {
  const path = folder(t)
  symlinkSync(join(path, 'nowhere', 'secret'), join(path, 'secret'))
  t.throws(() => secretsOf(path), { code: 'EEXIST' })
  t.strictSame(readdirSync(path), ['secret'], 'no draft is left')
  t.throws(() => secretsOf('/proc/latchkey'), { code: 'ENOENT' })
})

t.test('two first starts at once: the secret of the one that was first is taken by both', async (t) => {
  const path = folder(t)
  const first = newSecret()
  const { linkSync } = fs
  const rival = t.intercept(fs, 'linkSync', {
    value: (draft: string, file: string) => {
      writeFileSync(file, first)
      linkSync(draft, file)
    }
  })
  syncBuiltinESMExports()
  const late = secretsOf(path)
  rival.restore()
  syncBuiltinESMExports()
  t.strictSame(late, secretsOf(path, { LATCHKEY_SECRET: first }))
  t.strictSame(readdirSync(path), ['secret'])
})

t.test('a wrong or a lost secret → no start, one line that says what to do, and nothing is written', async (t) => {
  const path = folder(t)
  const file = join(path, 'secret')
  const tokens = await session(t, { path }, registerAndLogin)
  const made = readFileSync(file)
  const before = select(path, 'SELECT * FROM signing_keys')
  const message = new RegExp(`^LATCHKEY_SECRET: signing key ${before[0]?.['kid']} was encrypted under another secret; add that one to LATCHKEY_SECRET_FALLBACKS, or restore the secret file that belongs to this database$`)
  const wrong: NodeJS.ProcessEnv[] = [
    { LATCHKEY_SECRET: newSecret() },
    { LATCHKEY_SECRET: newSecret(), LATCHKEY_SECRET_FALLBACKS: newSecret() },
    { LATCHKEY_SECRET: newSecret(), LATCHKEY_ALGORITHM: 'EdDSA' }
  ]
  for (const env of wrong) await t.rejects(build(t, { path, env }), { name: 'ConfigError', message })
  rmSync(file)
  const missing = { name: 'ConfigError', message: `${file} is missing, and the database beside it is of no use without it; restore it from your backup, or set LATCHKEY_SECRET to what it says` }
  await t.rejects(build(t, { path }), missing)
  for (const command of ['export', 'import', 'keys rotate', 'keys list']) await t.rejects(run(command.split(' '), terminal([], { env: { DATABASE_URL: `file:${join(path, 'latchkey.db')}` } })), missing, command)
  t.notOk(existsSync(file), 'none is made in its place')
  t.strictSame(select(path, 'SELECT * FROM signing_keys'), before)

  writeFileSync(file, made)
  await session(t, { path }, async (app) => {
    t.equal((await getPrivate(app, tokens.access_token)).statusCode, 200)
    t.equal((await refresh(app, tokens.refresh_token)).statusCode, 200)
  })
})

t.test('a new master secret with the old one as fallback logs nobody out; without it, the old one opens nothing', async (t) => {
  const path = folder(t)
  const [old, fresh] = [newSecret(), newSecret()]
  const [{ primary: { id: oldId } }, { primary: { id: freshId } }] = [secretsOf(path, { LATCHKEY_SECRET: old }), secretsOf(path, { LATCHKEY_SECRET: fresh })]
  const { moving, sleeping } = await session(t, { path, env: { LATCHKEY_SECRET: old } }, async (app) => {
    const moving = await registerAndLogin(app)
    return { moving, sleeping: await login(app) }
  })
  t.strictSame(keyIds(path), [oldId])

  const moved = await session(t, { path, env: { LATCHKEY_SECRET: fresh, LATCHKEY_SECRET_FALLBACKS: old } }, async (app) => {
    t.strictSame(keyIds(path), [freshId], 'the signing key is under the new secret')
    t.equal((await getPrivate(app, moving.access_token)).statusCode, 200)
    t.equal(rowOf(path, moving.refresh_token)['key_id'], oldId)
    const answer = await refresh(app, moving.refresh_token)
    t.equal(answer.statusCode, 200)
    t.equal(rowOf(path, moving.refresh_token)['key_id'], freshId, 'a refresh moves its session')
    t.strictSame((await refresh(app, moving.refresh_token)).json().refresh_token, answer.json().refresh_token, 'a retry gets the same answer')
    t.equal(rowOf(path, sleeping.refresh_token)['key_id'], oldId)
    return answer.json()
  })
  t.not(decode(moved.refresh_token).header['kid'], decode(moving.refresh_token).header['kid'])

  await session(t, { path, env: { LATCHKEY_SECRET: fresh } }, async (app) => {
    t.equal((await getPrivate(app, moved.access_token)).statusCode, 200)
    t.equal((await getPrivate(app, sleeping.access_token)).statusCode, 200, 'access tokens are not signed with it')
    isProblem(t, await refresh(app, sleeping.refresh_token), 'invalid_refresh_token')
    isProblem(t, await refresh(app, moving.refresh_token), 'invalid_refresh_token')
    t.equal((await refresh(app, moved.refresh_token)).statusCode, 200)
  })
})

/** What somebody makes of a refresh token who knows the secret `keys` come from. */
function forgeRefresh (token: string, keys: SecretKeys, gen: number) {
  const { header, payload } = decode(token)
  return forge({ ...header, kid: keys.id }, { ...payload, gen, jti: `${payload['sid']}.${gen}` }, hmac(keys.refresh))
}

t.test('POST /refresh with what a leaked old secret can make, for a session that has moved on → 401, and the session goes on', async (t) => {
  const path = folder(t)
  const [old, fresh] = [newSecret(), newSecret()]
  const { primary: leaked } = secretsOf(path, { LATCHKEY_SECRET: old })
  const first = await session(t, { path, env: { LATCHKEY_SECRET: old } }, async (app) => {
    const tokens = await registerAndLogin(app)
    t.equal(forgeRefresh(tokens.refresh_token, leaked, 1), tokens.refresh_token, 'the forger knows how')
    return tokens
  })
  await session(t, { path, env: { LATCHKEY_SECRET: fresh, LATCHKEY_SECRET_FALLBACKS: old } }, async (app) => {
    const opensNothing = async (token: string, ...generations: number[]) => {
      for (const gen of generations) isProblem(t, await refresh(app, forgeRefresh(token, leaked, gen)), 'invalid_refresh_token', `generation ${gen}`)
    }
    const { refresh_token: second } = (await refresh(app, first.refresh_token)).json()
    await opensNothing(second, 2, 3, 1_000_000)
    const { refresh_token: third } = (await refresh(app, second)).json()
    await opensNothing(third, 2, 3, 4, 1_000_000)
    t.equal((await refresh(app, third)).statusCode, 200)

    const { refresh_token: opened } = await login(app)
    await opensNothing(opened, 1, 2)
    t.equal((await refresh(app, opened)).statusCode, 200, 'a session that the old secret never signed')
  })
})

t.test('what follows from a secret never changes: tomorrow\'s version has to open today\'s database', async (t) => {
  const primary = 'k3v9Qw7xTz1mB5nR8sY2uC6pL0dF4gHj'
  const fallback = 'Zr8tYx2wVq6uTs0rPn4mLk8jHg2fDs6a'
  const secrets = loadSecrets(settings(folder(t), { LATCHKEY_SECRET: primary, LATCHKEY_SECRET_FALLBACKS: fallback }))
  t.strictSame(secrets.primary, {
    id: 'yQtEasfR',
    refresh: Buffer.from('b6b9d718b16987752defdefbc223e042557aef151fa062fee0338565c7be03b6', 'hex'),
    wrapping: Buffer.from('378c623952f0e93c6275438638d5c7e531bc1ba0ccd58f6aba77a596208cd9ec', 'hex'),
    attempts: Buffer.from('9f4fc442ffc61ad3062ed389f130bdd88eabc3b3918358c7cd73c24094004085', 'hex')
  })
  t.strictSame([...secrets.all.keys()], [secrets.primary.id, 'X4DY_Bsi'])
  t.equal(secrets.all.get(secrets.primary.id), secrets.primary)
  t.equal(fingerprint(primary), 'iBFuKLz5')
})

t.test('after a leak: a start with a new secret alone, once every key of the old one is revoked → all log in again, nothing old opens', async (t) => {
  const path = folder(t)
  const [leaked, fresh] = [newSecret(), newSecret()]
  const tokens = await session(t, { path, env: { LATCHKEY_SECRET: leaked } }, registerAndLogin)
  const env = { DATABASE_URL: `file:${join(path, 'latchkey.db')}`, LATCHKEY_SECRET: fresh, LATCHKEY_SECRET_FALLBACKS: leaked }
  const latchkey = (...args: string[]) => run(args, terminal([], { env }))
  const [old] = select(path, 'SELECT kid FROM signing_keys')
  await latchkey('keys', 'rotate', '--now')
  await latchkey('keys', 'revoke', String(old?.['kid']))

  await session(t, { path, env: { LATCHKEY_SECRET: fresh } }, async (app) => {
    isProblem(t, await getPrivate(app, tokens.access_token), 'invalid_token')
    isProblem(t, await refresh(app, tokens.refresh_token), 'invalid_refresh_token')
    t.equal((await getPrivate(app, (await login(app)).access_token)).statusCode, 200)
  })
})

t.test('a database that was filled before the first start, and one that holds sessions alone → a secret is made for the one, missed for the other', async (t) => {
  const path = folder(t)
  const env = { DATABASE_URL: `file:${join(path, 'latchkey.db')}`, LATCHKEY_BCRYPT_COST: '4', LATCHKEY_ALGORITHM: 'HS256', LATCHKEY_HS_SECRET: newSecret() }
  await run(['users', 'create', 'ada'], terminal([], { env, input: Readable.from([PASSWORD]) }))
  t.notOk(existsSync(join(path, 'secret')))
  await session(t, { path, env }, login)
  t.strictSame(select(path, 'SELECT kid FROM signing_keys'), [])
  rmSync(join(path, 'secret'))
  await t.rejects(build(t, { path, env }), { name: 'ConfigError', message: /secret is missing/ })
})

t.test('a database on a server and no LATCHKEY_SECRET → ConfigError: there is no file beside it', async (t) => {
  t.throws(() => loadSecrets({ database: { url: 'postgres://localhost/latchkey' }, secretFallbacks: [], hsSecretFallbacks: [] }), {
    name: 'ConfigError', message: /^LATCHKEY_SECRET: expected with PostgreSQL, the same for every replica; openssl rand/
  })
})
