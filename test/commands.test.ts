import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { run } from '../src/commands.ts'
import { ConfigError } from '../src/config.ts'
import { CannotOpen } from '../src/db/cannot-open.ts'
import { exitCodes } from '../src/exit-codes.ts'
import { exitCodeOf } from '../src/start-errors.ts'
import { Unavailable } from '../src/unavailable.ts'
import { folder } from './fixtures/app.ts'
import { commandLine, terminal } from './fixtures/commands.ts'

t.test('what is typed wrong is told in one line', async (t) => {
  const latchkey = commandLine(folder(t))
  const cases: [string[], RegExp][] = [
    [[], /^expected a command/],
    [['keys'], /^expected a command/],
    [['kes'], /^unknown command 'kes' \(Did you mean keys\?\)$/],
    [['keys', 'revoke'], /^missing required argument 'kid'$/],
    [['keys', 'list', '--all'], /^unknown option '--all'$/]
  ]
  for (const [args, message] of cases) await t.rejects(latchkey(...args), { name: 'UsageError', message, exitCode: 2 })
})

t.test('--help lists the commands, and of a command shows examples', async (t) => {
  const latchkey = commandLine(folder(t))
  t.match((await latchkey('--help')).join('\n'), /serve[^]*users[^]*keys[^]*audit/)
  t.match((await latchkey('keys', 'rotate', '--help')).join('\n'), /--now[^]*--json[^]*For example:\n {2}\$ latchkey keys rotate\n {2}\$ latchkey keys rotate --now$/)
})

t.test('--version prints that of the package', async (t) => {
  t.strictSame(await commandLine(folder(t))('--version'), [JSON.parse(readFileSync('package.json', 'utf8')).version])
})

t.test('a wrong setting stops the command line too', async (t) => {
  await t.rejects(run(['keys', 'list'], terminal([], { env: { LATCHKEY_SECRT: 'x' } })), ConfigError)
})

t.test('openapi prints the contract that is committed, as JSON or as YAML', async (t) => {
  const latchkey = commandLine(folder(t), Date.now, { env: { LATCHKEY_DOCS: 'off' } })
  const yaml = (await latchkey('openapi', '--yaml')).join('\n')
  t.equal(`${yaml}\n`, readFileSync('openapi.yaml', 'utf8'))
  t.match(JSON.parse((await latchkey('openapi')).join('')), { openapi: '3.1.0', info: { title: 'Latchkey' } })
})

t.test('a heading is bold where the terminal can show it', async (t) => {
  const path = folder(t)
  await commandLine(path)('migrate')
  t.strictSame(await commandLine(path, Date.now, { styled: true })('users', 'list'), ['\u001b[1mID  STATE  USERNAME  EMAIL\u001b[22m'])
})

t.test('without a database → a command that neither fills nor makes one is refused, and makes none', async (t) => {
  const path = folder(t)
  for (const command of ['users list', 'keys rotate', 'keys list', 'sessions prune', 'audit', 'users delete ada --yes', 'export', 'migrate --check']) {
    await t.rejects(run(command.split(' '), terminal([], { env: { DATABASE_URL: `file:${path}/latchkey.db` } })), { name: 'Refused', message: `there is no database at ${path}/latchkey.db: DATABASE_URL names it, and the service makes it when it first starts` }, command)
  }
  t.strictSame(readdirSync(path), [])
})

t.test('each kind of failure has its exit code', async (t) => {
  const failed = (code: string) => Object.assign(new Error('x'), { code })
  const cases: [unknown, keyof typeof exitCodes][] = [
    [new ConfigError('PORT: x'), 'configuration'],
    [failed('EADDRINUSE'), 'configuration'],
    [Object.assign(failed('EACCES'), { syscall: 'listen' }), 'configuration'],
    [Object.assign(failed('EACCES'), { syscall: 'mkdir' }), 'database'],
    [new CannotOpen(failed('ECONNREFUSED')), 'database'],
    [failed('SQLITE_NOTADB'), 'database'],
    [new Unavailable(failed('EAI_AGAIN')), 'database'],
    [new Error('a fault of ours'), 'failed']
  ]
  for (const [error, name] of cases) t.equal(exitCodeOf(error), exitCodes[name], String(error))
})
