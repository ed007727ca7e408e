import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { auditEvent, type AuditEventName, type AuditSource, type AuditSubject } from '../src/audit.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Records what happened: one line in the log, one row in the table. Resolves when the row is durable, or cannot be. */
    audit: (event: AuditEventName, subject?: AuditSubject) => Promise<void>
  }
}

const service = { ip: null, userAgent: null, requestId: null }

async function audit (app: FastifyInstance) {
  const { now } = app

  app.decorateRequest('audit', async function (event, subject = {}) {
    const source = { ip: this.ip, userAgent: this.headers['user-agent'] ?? null, requestId: this.id }
    await record(this.log, event, { subject, source })
  })
  app.addHook('onReady', () => record(app.log, 'sys_startup', { subject: {}, source: service }))
  app.addHook('onClose', () => record(app.log, 'sys_shutdown', { subject: {}, source: service }))

  async function record (log: FastifyBaseLogger, event: AuditEventName, { subject, source }: { subject: AuditSubject, source: AuditSource }) {
    const row = auditEvent(event, subject, { at: now(), ...source })
    const { userId, sessionId, ip, userAgent } = row
    // The logger adds a time and the request's id itself.
    log.info({ audit: event, userId, sessionId, ip, userAgent, details: subject.details }, 'audit')
    try {
      await app.db.store.insertAuditEvent(row)
    } catch (error) {
      // What happened has happened, and the log has it: the answer must not deny it.
      log.error({ err: error, audit: event }, 'an audit event could not be stored')
    }
  }
}

export default fp(audit, { fastify: '5.x', name: 'audit', dependencies: ['clock'] })
