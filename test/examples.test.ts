import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { bearer, build, folder, registerAndLogin } from './fixtures/app.ts'
import { freePort } from './fixtures/process.ts'

const run = promisify(execFile)
const bin = (name: string) => resolve('node_modules/.bin', name)

async function listening (t: Test, env: Record<string, string> = {}) {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const app = await build(t, { env: { LATCHKEY_PUBLIC_URL: url, ...env } })
  await app.listen({ port, host: '127.0.0.1' })
  return { app, url }
}

t.test('examples/client: a client generated from openapi.yaml compiles under strict, and registers, logs in, calls, refreshes and logs out', async (t) => {
  const { url } = await listening(t)
  const path = folder(t)
  cpSync('examples/client/client.ts', join(path, 'client.ts'))
  symlinkSync(resolve('node_modules'), join(path, 'node_modules'))
  writeFileSync(join(path, 'package.json'), '{"type":"module"}')
  await run(bin('openapi-typescript'), [resolve('openapi.yaml'), '-o', 'schema.d.ts'], { cwd: path })
  await run(bin('tsc'), ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2023', '--types', 'node', '--skipLibCheck', 'client.ts'], { cwd: path })
  const { stdout } = await run(bin('tsx'), ['client.ts'], { cwd: path, env: { ...process.env, AUTH_URL: url } })
  t.equal(stdout, 'Access Granted!\nBearer token for more than ten minutes\n204\n')
})

t.test('examples/verify-node: another service lets a token in → 200, and nothing else → 401', async (t) => {
  const { app, url } = await listening(t)
  const { user, access_token: token, refresh_token: refreshToken } = await registerAndLogin(app)
  const port = await freePort()
  const child = spawn(process.execPath, ['examples/verify-node/server.js'], { env: { ...process.env, AUTH_URL: url, PORT: String(port) } })
  t.teardown(() => child.kill())
  await once(child.stdout, 'data')

  const orders = (headers: Record<string, string>) => fetch(`http://localhost:${port}/orders`, { headers })
  const answer = await orders(bearer(token))
  t.equal(answer.status, 200)
  t.same(await answer.json(), { user: user.id, orders: [] })
  t.equal((await orders({})).status, 401)
  t.equal((await orders(bearer(refreshToken))).status, 401, 'a refresh token is no access token')
  t.equal((await orders(bearer(`${token.slice(0, -4)}AAAA`))).status, 401)
})

/** A Python that has what the example needs; of two, the system's may be the one that has it. */
const python = ['python3', '/usr/bin/python3'].find((one) => spawnSync(one, ['-c', 'import jwt, cryptography']).status === 0)
const skip = python === undefined && !process.env['CI'] && 'no python3 here has PyJWT and cryptography (Debian: python3-jwt, python3-cryptography)'

const verifyInPython = (token: string, url: string) =>
  run(python ?? 'python3', ['examples/verify-python/verify.py', token], { env: { AUTH_URL: url } })

t.test('examples/verify-python: lets an access token in, and nothing else', { skip }, async (t) => {
  const { app, url } = await listening(t)
  const { user, access_token: token, refresh_token: refreshToken } = await registerAndLogin(app)
  t.equal((await verifyInPython(token, url)).stdout, `${user.id}\n`)
  await t.rejects(verifyInPython(refreshToken, url), { code: 1, stderr: 'refused: not an access token\n' }, 'a refresh token is no access token')
  await t.rejects(verifyInPython(`${token.slice(0, -4)}AAAA`, url), { code: 1, stderr: 'refused: Signature verification failed\n' })
  await t.rejects(verifyInPython(token, url.replace('127.0.0.1', 'localhost')), { code: 1, stderr: /^refused: .*issuer/i }, 'of another issuer')
})

t.test('examples/verify-python: a token for another audience → refused', { skip }, async (t) => {
  const { app, url } = await listening(t, { LATCHKEY_AUDIENCE: 'somebody-else' })
  const { access_token: token } = await registerAndLogin(app)
  await t.rejects(verifyInPython(token, url), { code: 1, stderr: /^refused: .*audience/i })
})
