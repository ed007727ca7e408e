import Fastify from 'fastify'
import { Pool } from 'pg'
import { RequestLog } from '../src/request-log.ts'

/** The floor of the table on PostgreSQL: a bare Fastify route that does one prepared UPDATE of one row, through a pool as large as ours, with our log. */
const app = Fastify({ logger: true, logController: new RequestLog() })
const pool = new Pool({ connectionString: String(process.env['DATABASE_URL']), max: 10 })

let next = 0
app.get('/livez', async () => ({ status: 'ok' }))
app.post('/update', async () => {
  const { rows } = await pool.query({ name: 'floor', text: 'UPDATE floor SET n = n + 1, at = $2 WHERE id = $1 RETURNING *', values: [String(next++ % 1_000), Date.now()] })
  return rows[0]
})

await app.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' })
