import Fastify from 'fastify'
import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import closing from '../../plugins/closing.ts'
import { get } from '../fixtures/socket.ts'

const FOREVER = 600_000

async function listening (t: Test, grace: number) {
  const app = Fastify({ keepAliveTimeout: FOREVER })
  await app.register(closing, { grace })
  let answer = () => {}
  app.get('/slow', () => new Promise((resolve) => { answer = () => resolve('done') }))
  const stopping = new Promise<void>((resolve) => app.addHook('preClose', async () => resolve()))
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => { app.server.closeAllConnections() })
  return { app, port: Number(new URL(app.listeningOrigin).port), stopping, answer: () => answer() }
}

t.test('a request that is being answered when the service stops → its answer, and the connection ends with it', async (t) => {
  const { app, port, stopping, answer } = await listening(t, FOREVER)
  const arrived = once(app.server, 'request')
  const socket = connect(port, '127.0.0.1')
  const text = socket.toArray()
  socket.write(get('/slow').replace('Connection: close', 'Connection: keep-alive'))
  await arrived
  const closed = app.close()
  await stopping
  answer()
  await closed
  t.match(Buffer.concat(await text).toString(), /^HTTP\/1.1 200 [^]*connection: close[^]*done$/)
})

for (const [what, bytes] of [['nothing', ''], ['half a request', 'GET /slow HTTP/1.1\r\nHost:'], ['a request that is never answered', get('/slow')]] as const) {
  t.test(`a client that has sent ${what} when the service stops → it stops after the grace time`, async (t) => {
    const { app, port } = await listening(t, 50)
    const accepted = once(app.server, 'connection')
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {}).resume()
    const ended = once(socket, 'close')
    await accepted
    if (bytes !== '') await new Promise((resolve) => socket.write(bytes, resolve))
    await app.close()
    await ended
    t.notOk(app.server.listening)
  })
}

t.test('a service that does not stop keeps its connections', async (t) => {
  const { app, port, answer } = await listening(t, FOREVER)
  const arrived = once(app.server, 'request')
  const socket = connect(port, '127.0.0.1')
  socket.write(get('/slow').replace('Connection: close', 'Connection: keep-alive'))
  await arrived
  answer()
  const [data] = await once(socket, 'data')
  t.match(String(data), /connection: keep-alive/i)
  socket.destroy()
  await app.close()
})
