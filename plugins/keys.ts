import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../src/config.ts'
import { type KeyRing, openKeyRing } from '../src/key-ring.ts'
import { every } from '../src/periodic.ts'
import type { Secrets } from '../src/secrets.ts'

declare module 'fastify' {
  interface FastifyInstance {
    keys: KeyRing
  }
}

interface Options {
  config: Config
  secrets: Secrets
}

/** Other processes, the command line among them, rotate and revoke keys too. */
const RELOAD_EVERY = 30_000

/** The signing keys; made at first start, and read again every 30 s. */
async function keys (app: FastifyInstance, { config, secrets }: Options) {
  const ring = await openKeyRing({ store: app.db.store, secrets, settings: config, now: app.now })
  app.decorate('keys', ring)

  const reload = async () => {
    const kids = await ring.reload()
    if (kids.length > 0) app.log.warn({ kids }, 'signing keys of the database cannot be read here: they are under a secret that is not configured, or were altered')
  }
  const stop = every(RELOAD_EVERY, reload, (error) => app.log.error({ err: error }, 'the signing keys could not be read'))
  app.addHook('onClose', stop)
}

export default fp(keys, { fastify: '5.x', name: 'keys', dependencies: ['clock'] })
