import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { folder, PASSWORD } from '../fixtures/app.ts'
import { ask } from '../fixtures/process.ts'
import { runProgram } from '../fixtures/program.ts'

const env = { DATABASE_URL: `file:${join(folder(t), 'latchkey.db')}` }
await runProgram(['migrate'], { env })

t.test('it prints and ends with 0', async (t) => {
  const { code, out, err } = await runProgram(['keys', 'rotate'], { env, counted: true })
  t.match({ code, err }, { code: 0, err: '' })
  t.match(out, /^[\w-]{43} signs from /)
})

t.test('a failure is one line, and its exit code says of what kind it is', async (t) => {
  const cases: [string[], NodeJS.ProcessEnv, number, RegExp][] = [
    [['keys', 'revoke', 'x'], env, 1, /^latchkey: there is no such key.*\n$/],
    [['audit', '--event', 'x'], env, 2, /^latchkey: --event: expected one of .*\n$/],
    [['keys', 'list'], { PORT: 'x' }, 3, /^latchkey: PORT: .*\n$/],
    [['users', 'list'], { DATABASE_URL: 'postgres://latchkey@127.0.0.1:1/latchkey' }, 4, /^latchkey: DATABASE_URL: nobody listens there \(ECONNREFUSED\)\n$/]
  ]
  const ends = await Promise.all(cases.map(([args, env]) => runProgram(args, { env, counted: true })))
  for (const [i, [args, , code, err]] of cases.entries()) t.match(ends[i], { code, out: '', err }, args.join(' '))
})

t.test('config shows what the environment says', async (t) => {
  const { code, out } = await runProgram(['config'], { env: { ...env, LATCHKEY_ACCESS_TTL: '5m' }, counted: true })
  t.equal(code, 0)
  t.match(out, /^LATCHKEY_ACCESS_TTL +5m +environment +-$/m)
})

t.test('--json → a failure is JSON on standard error, too', async (t) => {
  const { code, out, err } = await runProgram(['users', 'show', 'nobody', '--json'], { env, counted: true })
  t.strictSame({ code, out, err: JSON.parse(err) }, { code: 1, out: '', err: { error: 'there is no such user', exit_code: 1 } })
  const odd = await runProgram(['\u009b31m', '--json'], { env, counted: true })
  t.strictSame({ code: odd.code, err: odd.err }, { code: 2, err: '{"error":"unknown command \'\\u009b31m\'","exit_code":2}\n' }, 'in which a terminal finds nothing to obey')
  const wrong = await runProgram(['users', 'list', '--json'], { env: { PORT: 'abc', LATCHKEY_ACCESS_TTL: '9' } })
  t.match(JSON.parse(wrong.err), { error: /^PORT: expected .*\nLATCHKEY_ACCESS_TTL: expected .*$/, exit_code: 3 })
})

t.test('a reader that has had enough ends it quietly; an output that cannot be written does not', async (t) => {
  const shell = (line: string) => execFileSync('bash', ['-c', line, process.execPath], { encoding: 'utf8', env: { ...process.env, ...env } })
  t.equal(shell('"$0" dist/src/cli.js openapi --yaml 2>&1 | head -1; echo $PIPESTATUS'), 'openapi: 3.1.0\n0\n')
  t.equal(shell('"$0" dist/src/cli.js users list 2>&1 >/dev/full; echo $?'), 'latchkey: the output cannot be written (ENOSPC)\n1\n')
})

t.test('users create at a terminal → it shows the questions, and never the password', async (t) => {
  const command = [process.execPath, 'dist/src/cli.js', 'users', 'create', 'ada'].join(' ')
  const child = spawn('script', ['-qec', command, '/dev/null'], { env: { ...process.env, LATCHKEY_BCRYPT_COST: '4', ...env } })
  let shown = ''
  let asked = 0
  child.stdout.on('data', (data) => {
    shown += data
    const questions = shown.match(/New password|Once more/g)?.length ?? 0
    for (; asked < questions; asked++) child.stdin.write(`${PASSWORD}\r`)
  })
  const [[code]] = await Promise.all([once(child, 'close'), text(child.stderr)])
  t.equal(code, 0)
  t.match(shown, /^New password \(it is not shown\):\r\n(.*)Once more:\r\n(.*)ada is created, with the id [0-9a-f-]{36}\r\n$/s)
  t.notMatch(shown, PASSWORD)
  t.match((await runProgram(['users', 'list'], { env })).out, /active {2}ada/)
})

t.test('serve runs the service until a signal ends it, as npm start does', async (t) => {
  const child = spawn(process.execPath, ['dist/src/cli.js', 'serve'], { env: { ...process.env, ...env, PORT: '0', LATCHKEY_SHUTDOWN_DELAY: '0s' }, stdio: ['ignore', 'ignore', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let told = ''
  for await (const data of child.stderr) {
    told += data
    const [, origin] = /listens on (\S+)/.exec(told) ?? []
    if (origin === undefined) continue
    t.equal((await ask(`${origin}/readyz`)).status, 200)
    break
  }
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  t.strictSame(await ended, [0, null])
})

t.test('serve with a wrong setting → it is named, and the exit code is 3', async (t) => {
  t.match(await runProgram(['serve'], { env: { ...env, PORT: 'x' } }), { code: 3, out: '', err: /^latchkey: PORT: / })
})
