import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { auditEvent, type AuditEventName, type AuditSubject } from '../src/audit.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Records what happened: one line in the log, one row in the table. Resolves when the row is durable. */
    audit: (event: AuditEventName, subject?: AuditSubject) => Promise<void>
  }
}

const service = { ip: null, userAgent: null, requestId: null }

async function audit (app: FastifyInstance) {
  const { now } = app

  app.decorateRequest('audit', async function (event, subject = {}) {
    const source = { ip: this.ip, userAgent: this.headers['user-agent'] ?? null, requestId: this.id }
    await record(this.log, auditEvent(event, subject, { at: now(), ...source }))
  })
  app.addHook('onReady', () => record(app.log, auditEvent('sys_startup', {}, { at: now(), ...service })))
  // A disk that is full must not make the end a failure.
  app.addHook('onClose', () => record(app.log, auditEvent('sys_shutdown', {}, { at: now(), ...service }))
    .catch((error: unknown) => app.log.error({ err: error }, 'the end could not be recorded')))

  async function record (log: FastifyRequest['log'], row: ReturnType<typeof auditEvent>) {
    // The logger adds a time and the request's id itself.
    const { id, at, requestId, event, ...rest } = row
    log.info({ audit: event, ...rest }, 'audit')
    await app.db.store.insertAuditEvent(row)
  }
}

export default fp(audit, { fastify: '5.x', name: 'audit', dependencies: ['clock'] })
