import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { PURGED_AT_ONCE } from '../src/pages.ts'
import { every } from '../src/periodic.ts'

declare module 'fastify' {
  interface FastifyInstance {
    purge: () => Promise<void>
  }
}

const EVERY = 600_000

interface Options {
  /** Milliseconds for which audit events are kept. */
  auditRetention: number
}

/** Deletes what nobody needs any more: after the start, and every ten minutes. */
async function purge (app: FastifyInstance, { auditRetention }: Options) {
  const { now, db: { store } } = app
  const batches = [
    () => store.purgeSessions(now(), PURGED_AT_ONCE),
    () => store.purgeAttempts(now(), PURGED_AT_ONCE),
    () => store.purgeAuditEvents(now() - auditRetention, PURGED_AT_ONCE)
  ]

  const purgeAll = async () => {
    for (const batch of batches) while (!app.isClosing() && await batch() === PURGED_AT_ONCE);
  }
  let underWay = Promise.resolve()
  /** One at a time: that of the start may last. */
  const purgeInTurn = () => {
    underWay = underWay.then(purgeAll, purgeAll)
    return underWay
  }
  app.decorate('purge', purgeInTurn)
  const failed = (error: unknown) => app.log.error({ err: error }, 'expired rows could not be purged')
  const stop = every(EVERY, purgeInTurn, failed)
  // Not waited for: after a long pause it takes its time. Nor does a disk that is full make the start a failure: what needs no write goes on.
  app.addHook('onReady', async () => { purgeInTurn().catch(failed) })
  app.addHook('onClose', async () => {
    await stop()
    await underWay.catch(() => {})
  })
}

export default fp(purge, { fastify: '5.x', name: 'purge', dependencies: ['clock', 'closing'] })
