import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { auditEvent, type AuditEventName, type AuditSource, type AuditSubject } from '../src/audit.ts'
import { createFirsts } from '../src/rate-limits.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Records what happened to the service itself. */
    audit: (event: AuditEventName) => Promise<void>
  }

  interface FastifyRequest {
    /** Records what happened: one line in the log, one row in the table. Resolves when the row is durable, or cannot be. */
    audit: (event: AuditEventName, subject?: AuditSubject) => Promise<void>
    /** Records that access was refused: of each kind and address the first in a minute. A flood of bad tokens is not to be one of events. */
    auditRefusal: (refused: 'access_token' | 'session', subject?: AuditSubject) => Promise<void>
  }
}

const REFUSALS_APART = 60_000
/** In so long no more than that of all addresses together: they cost nobody anything but us, and some have many. */
const MOST_REFUSALS = 100

const service = { ip: null, userAgent: null, requestId: null }

async function audit (app: FastifyInstance) {
  const { now } = app

  app.decorateRequest('audit', async function (event, subject = {}) {
    const source = { ip: this.ip, userAgent: this.headers['user-agent'] ?? null, requestId: this.id }
    await record(this.log, event, { subject, source })
  })
  const isFirst = createFirsts()
  const isNewWindow = createFirsts(1)
  let refusals = 0
  app.decorateRequest('auditRefusal', async function (refused, { details, ...subject } = {}) {
    const time = performance.now()
    if (isNewWindow('', REFUSALS_APART, time)) refusals = 0
    if (refusals >= MOST_REFUSALS || !isFirst(`${refused} ${this.addressBlock}`, REFUSALS_APART, time)) return
    refusals += 1
    await this.audit('authz_fail', { ...subject, details: { refused, ...details } })
  })
  app.decorate('audit', (event) => record(app.log, event, { subject: {}, source: service }))
  // Not when it is ready: a start may still fail for a port that is taken.
  let listens = false
  app.addHook('onListen', async () => {
    listens = true
    await app.audit('sys_startup')
  })
  app.addHook('onClose', async () => { if (listens) await app.audit('sys_shutdown') })

  async function record (log: FastifyBaseLogger, event: AuditEventName, { subject, source }: { subject: AuditSubject, source: AuditSource }) {
    const row = auditEvent(event, subject, { at: now(), ...source })
    const { userId, sessionId, ip, userAgent } = row
    // The logger adds a time and the request's id itself.
    log.info({ audit: event, userId, sessionId, ip, userAgent, details: subject.details }, 'audit')
    // What happened has happened, and the log has it: the answer must not deny it.
    await app.db.store.insertAuditEvent(row).catch((error: unknown) => log.error({ err: error, audit: event }, 'an audit event could not be stored'))
  }
}

export default fp(audit, { fastify: '5.x', name: 'audit', dependencies: ['clock', 'rate-limit'] })
