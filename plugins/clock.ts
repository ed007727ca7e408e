import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createClock } from '../src/clock.ts'
import { every } from '../src/periodic.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Milliseconds since the epoch, by the one clock that all replicas share. */
    now: () => number
  }
}

const ADJUST_EVERY = 30_000

/** @param given a clock to go by instead of this machine's and the database's. */
async function clock (app: FastifyInstance, { given }: { given: (() => number) | undefined }) {
  const { now, adjust } = createClock(given ?? Date.now, given ? undefined : app.db.serverTime)
  await adjust()
  app.decorate('now', now)
  const stop = every(ADJUST_EVERY, adjust, (error) => app.log.error({ err: error }, 'the clock could not be compared with the database\'s'))
  app.addHook('onClose', stop)
}

export default fp(clock, { fastify: '5.x', name: 'clock', dependencies: ['db'] })
