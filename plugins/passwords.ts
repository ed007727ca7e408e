import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../src/config.ts'
import { createPasswords, type Passwords } from '../src/passwords.ts'

declare module 'fastify' {
  interface FastifyInstance {
    passwords: Passwords
  }
}

/** Hashing threads, started at first use and stopped with the application. */
async function passwords (app: FastifyInstance, config: Config) {
  const { metrics } = app
  const created = createPasswords(config, (ms) => metrics?.hashWaitSeconds.observe(ms / 1000))
  metrics?.watchHashPlaces(created.places)
  app.decorate('passwords', created)
  app.addHook('onClose', created.close)
  if (config.bcryptCost < 10) app.log.warn('LATCHKEY_BCRYPT_COST is below 10: fit for tests, not for real passwords')
}

export default fp(passwords, { fastify: '5.x', name: 'passwords', dependencies: ['metrics'] })
