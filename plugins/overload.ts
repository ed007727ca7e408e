import underPressure from '@fastify/under-pressure'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { getHeapStatistics } from 'node:v8'

/** A loop so late (ms) answers nobody in time. */
const LATEST_LOOP = 1_000
/** The delay of the loop is measured once a second; what the start itself has cost (ms) is no load. */
const STARTING = 2_000
/** Beyond it the collector takes more time than the work. */
const FULLEST_HEAP = 0.9
/** V8's limit includes the young generation: three times its semi-space of 16 MiB. The old one, which fills up, is the rest. */
const YOUNG_GENERATION = 48 * 1_048_576

/** Answers 503 while there is too much to do, before any of it is begun. Register it in the scope of the work: health is asked elsewhere. */
async function overload (app: FastifyInstance) {
  let readySince = 0
  app.addHook('onReady', async () => { readySince = performance.now() })
  await app.register(underPressure, {
    maxEventLoopDelay: LATEST_LOOP,
    maxHeapUsedBytes: (getHeapStatistics().heap_size_limit - YOUNG_GENERATION) * FULLEST_HEAP,
    // Awaited until it is sent: else the request would go on to the work.
    pressureHandler: async (_request, reply, type) => {
      if (type === underPressure.TYPE_EVENT_LOOP_DELAY && performance.now() - readySince < STARTING) return
      await reply.problem('overloaded')
    }
  })
}

export default fp(overload, { fastify: '5.x', name: 'overload', dependencies: ['errors'] })
