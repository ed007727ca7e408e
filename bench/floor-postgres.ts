import Fastify from 'fastify'
import { createPool } from '../src/db/postgres.ts'
import { RequestLog } from '../src/request-log.ts'

/** The floors of the table on PostgreSQL: bare Fastify routes that do one prepared UPDATE of one row, through the same pool, with our log. */
const app = Fastify({ logger: true, logController: new RequestLog() })
const pool = createPool({ url: String(process.env['DATABASE_URL']), pool: 10, timeout: 5_000 })
const { rows: sessions } = await pool.query<{ id: string }>('SELECT id FROM floor_sessions')

let next = 0
/** Each row is updated in its turn, so that nobody waits for another's lock. */
const update = async (name: string, text: string) => {
  const { id } = sessions[next++ % sessions.length] ?? {}
  return (await pool.query({ name, text, values: [id, Date.now()] })).rows[0]
}

app.get('/livez', async () => ({ status: 'ok' }))
app.post('/counter', () => update('counter', 'UPDATE floor_counters SET n = n + 1, at = $2 WHERE id = $1 RETURNING *'))
app.post('/session', () => update('session', 'UPDATE floor_sessions SET generation = generation + 1, rotated_at = $2 WHERE id = $1 RETURNING *'))

await app.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' })
