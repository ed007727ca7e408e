import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { build, PASSWORD, register } from '../fixtures/app.ts'
import { eventually } from '../fixtures/accounts.ts'
import { captureLog } from '../fixtures/refresh.ts'
import { exchange, get } from '../fixtures/socket.ts'

const waiting = 10
const ahead = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
const statuses = (answers: string) => [...answers.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))

async function listening (t: Test) {
  const app = await build(t, { env: { LOG_LEVEL: 'info' } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, origin: app.listeningOrigin }
}

t.test('requests that are sent ahead → an answer to each, in their order, one after the other', async (t) => {
  const { origin } = await listening(t)
  t.strictSame(statuses(await exchange(origin, ahead('/livez') + ahead('/nothing') + ahead('/private') + get('/livez'))), [200, 404, 401, 200])
  t.strictSame(statuses(await exchange(origin, ahead('/%zz') + ahead('/livez') + get('/livez'))), [400, 200, 200])
})

t.test('POST /login twice in one packet → the second begins when the first is answered: 200, 401', async (t) => {
  const { app, origin } = await listening(t)
  await register(app)
  const lines = captureLog(t, app, 'info')
  const { findUserByUsername } = app.db.store
  const begun: string[] = []
  const find = async (key: string) => {
    begun.push(`${key} after ${lines.filter(({ msg }) => msg === 'request').length}`)
    return await findUserByUsername(key)
  }
  t.intercept(app.db.store, 'findUserByUsername', { value: find })
  const login = (username: string, connection: string) => {
    const body = JSON.stringify({ username, password: PASSWORD })
    return ['POST /login HTTP/1.1', 'Host: localhost', `Connection: ${connection}`, 'Content-Type: application/json', `Content-Length: ${body.length}`, '', body].join('\r\n')
  }
  t.strictSame(statuses(await exchange(origin, login('ada', 'keep-alive') + login('nobody', 'close'))), [200, 401])
  t.strictSame(begun, ['ada after 0', 'nobody after 1'])
})

t.test('more requests than may wait → the connection ends after the answers that are due, and the log says why, once', async (t) => {
  const { app, origin } = await listening(t)
  const lines = captureLog(t, app, 'info')
  t.strictSame(statuses(await exchange(origin, ahead('/livez').repeat(1_000))), Array(1 + waiting).fill(200))
  t.equal(lines.filter(({ msg }) => /sent ahead/.test(String(msg))).length, 1)
  t.match(lines.filter(({ msg }) => msg === 'request').length, 1 + waiting)
})

t.test('who sends ahead and leaves → what the answers held is let go', async (t) => {
  const { origin } = await listening(t)
  const { hostname, port } = new URL(origin)
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  for (let i = 0; i < 5; i++) {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.pause()
    socket.write(ahead('/docs/static/swagger-ui-bundle.js').repeat(500))
    await delay(50)
    socket.destroy()
  }
  await eventually(async () => open() <= before)
  t.pass()
})
