import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type Database, type DatabaseSettings, openDatabase } from '../src/db/open.ts'
import type { Metrics } from '../src/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    db: Omit<Database, 'close'>
  }
}

/** Opens the database, migrates it, and closes it with the application. */
async function db (app: FastifyInstance, settings: DatabaseSettings) {
  const { close, ...database } = await openDatabase(settings, app.metrics && observer(app.metrics))
  app.decorate('db', database)
  app.addHook('onClose', close)
}

function observer ({ databaseSeconds, commitWrites }: Metrics) {
  return {
    statement: (statement: string, took: number) => databaseSeconds.observe({ statement }, took / 1000),
    commit: (writes: number) => commitWrites.observe(writes)
  }
}

export default fp(db, { fastify: '5.x', name: 'db', dependencies: ['metrics'] })
