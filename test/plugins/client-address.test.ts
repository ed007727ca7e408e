import { execFileSync } from 'node:child_process'
import t from 'tap'
import { build, PASSWORD, register, registerAndLogin, bearer } from '../fixtures/app.ts'
import { eventually } from '../fixtures/accounts.ts'
import { captureLog } from '../fixtures/refresh.ts'

/** Sends requests, each on a connection that is reset at once; meanwhile nobody here can accept one. */
function hitAndRun (port: string, requests: string[]) {
  const script = `import json, socket, struct, sys
for request in json.load(sys.stdin):
    with socket.create_connection(('127.0.0.1', ${port})) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        connection.sendall(request.encode())`
  execFileSync('python3', ['-c', script], { input: JSON.stringify(requests) })
}

t.test('POST /register by who has hung up already → no account without an address, no 500, and the limits go on', async (t) => {
  const app = await build(t, { env: { LOG_LEVEL: 'info' } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const lines = captureLog(t, app, 'info')
  const requests = Array.from({ length: 20 }, (_, i) => {
    const body = JSON.stringify({ username: `user${i}`, password: PASSWORD })
    return `POST /register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  })
  hitAndRun(new URL(app.listeningOrigin).port, requests)
  await eventually(async () => lines.filter(({ msg }) => msg === 'request').length === requests.length)
  t.strictSame(lines.filter(({ level, status }) => Number(level) >= 50 || Number(status) >= 500), [])
  for (let i = 0; i < requests.length; i++) t.equal(await app.db.store.findUserByUsername(`user${i}`), undefined)
  await register(app)
})

t.test('GET /sessions behind a trusted proxy that writes ports, or passes on what clients write → 200, and an address each time', async (t) => {
  const app = await build(t, { env: { LATCHKEY_TRUST_PROXY: '127.0.0.1', LOG_LEVEL: 'info' } })
  await registerAndLogin(app)
  const lines = captureLog(t, app, 'info')
  const from = async (forwarded: string) => {
    const login = await app.inject({ method: 'POST', url: '/login', payload: { username: 'ada', password: PASSWORD }, headers: { 'x-forwarded-for': forwarded } })
    const sessions: { ip: string, current: boolean }[] = (await app.inject({ url: '/sessions', headers: bearer(login.json().access_token) })).json()
    return sessions.find(({ current }) => current)?.ip
  }
  const cases: [string, string][] = [
    ['203.0.113.7', '203.0.113.7'], ['203.0.113.7:5555', '203.0.113.7'], ['[2001:db8::2]:443', '2001:db8::2'],
    ['garbage', '127.0.0.1'], ['x'.repeat(8_000), '127.0.0.1'], ['garbage, 203.0.113.7', '203.0.113.7']
  ]
  for (const [forwarded, ip] of cases) {
    lines.length = 0
    t.equal(await from(forwarded), ip, forwarded.slice(0, 40))
    t.match(lines.find(({ path }) => path === '/login'), { ip })
  }
})
