import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { ConfigError } from '../src/config.ts'
import { NO_ROUTE } from '../src/early-errors.ts'
import type { Metrics } from '../src/metrics.ts'
import { every } from '../src/periodic.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined when LATCHKEY_METRICS is not set: then nothing is counted. */
    metrics: Metrics | undefined
  }
}

const COUNT_SESSIONS_EVERY = 60_000

interface MetricsAddress {
  host: string
  port: number
}

/** Counts what happens and shows it to Prometheus, on an address of its own: it is nobody's business but the operator's. */
async function metrics (app: FastifyInstance, { address }: { address: MetricsAddress | undefined }) {
  if (address === undefined) {
    app.decorate('metrics', undefined)
    return
  }
  // Only where it is asked for: the library takes its time to load.
  const { createMetrics } = await import('../src/metrics.ts')
  const created = createMetrics()
  app.decorate('metrics', created)

  const server = Fastify()
  server.get('/metrics', async (_request, reply) => reply.type(created.registry.contentType).send(await created.registry.metrics()))

  app.addHook('onResponse', async (request, reply) => {
    const labels = { method: request.method, route: request.routeOptions.url ?? NO_ROUTE }
    created.requests.inc({ ...labels, status: reply.statusCode })
    created.requestSeconds.observe(labels, reply.elapsedTime / 1000)
  })

  const count = async () => { created.liveSessions.set(await app.sessions.countLive()) }
  const stopCounting = every(COUNT_SESSIONS_EVERY, count, (error) => app.log.error({ err: error }, 'the sessions could not be counted'))
  app.addHook('onReady', async () => {
    await count()
    await server.listen(address).catch((error: NodeJS.ErrnoException) => { throw new ConfigError(`LATCHKEY_METRICS: nobody can listen there (${error.code})`) })
    app.log.info(`metrics at ${server.listeningOrigin}/metrics`)
  })
  // This plugin is the first, so its onClose is the last: the database is closed by then.
  app.addHook('preClose', stopCounting)
  app.addHook('onClose', async () => { await server.close() })
}

export default fp(metrics, { fastify: '5.x', name: 'metrics' })
