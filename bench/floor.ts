import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import { RequestLog } from '../src/request-log.ts'

/**
 * The floor of the table: a bare Fastify route that only verifies an HS256 token with @fastify/jwt, with our log.
 * It listens on PORT and takes tokens signed with SECRET.
 */
const app = Fastify({ logger: true, logController: new RequestLog() })
await app.register(fastifyJwt, { secret: String(process.env['SECRET']), verify: { algorithms: ['HS256'] } })

app.get('/livez', async () => ({ status: 'ok' }))
app.get('/private', { onRequest: (request) => request.jwtVerify() }, async () => ({ message: 'Access Granted!' }))

await app.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' })
