import { v7 as uuidv7 } from 'uuid'
import type { AuditEvent } from './db/open.ts'
import { keptUserAgent } from './user-agent.ts'

/** What is recorded, in the words of the OWASP logging vocabulary where it has one. Ordinary rotations are not: they are counted. */
export const auditEvents = [
  'user_created',
  'user_updated',
  'user_disabled',
  'user_enabled',
  'user_deleted',
  'authn_login_success',
  'authn_login_successafterfail',
  'authn_login_fail',
  'authn_login_lock',
  'authn_password_change',
  'authn_password_change_fail',
  'authn_token_reuse',
  'authz_fail',
  'session_created',
  'session_recovered',
  'session_replayed_elsewhere',
  'session_fast_forward',
  'session_logout',
  'session_logout_all',
  'session_revoked',
  'excess_rate_limit_exceeded',
  'malicious_cross_site',
  'signing_key_rotated',
  'signing_key_revoked',
  'data_imported',
  'sys_startup',
  'sys_shutdown',
  'sys_crash'
] as const

export type AuditEventName = (typeof auditEvents)[number]

/** Whom an event is about, and what else is worth knowing; nothing secret, and no name that somebody typed. */
export interface AuditSubject {
  userId?: string | undefined
  sessionId?: string | undefined
  /** In the names and forms of the HTTP API. */
  details?: Record<string, unknown>
}

/** Where it came from. */
export interface AuditSource {
  ip: string | null
  userAgent: string | null
  requestId: string | null
}

/** Tells the events of one millisecond apart, so that they keep their order. */
let recorded = 0

/** The row of an event; `at` in milliseconds. */
export function auditEvent (event: AuditEventName, { userId, sessionId, details }: AuditSubject, { at, ip, userAgent, requestId }: AuditSource & { at: number }): AuditEvent {
  return {
    id: uuidv7({ msecs: at, seq: recorded++ }),
    event,
    at,
    userId: userId ?? null,
    sessionId: sessionId ?? null,
    ip,
    userAgent: userAgent === null ? null : keptUserAgent(userAgent),
    requestId,
    details: details === undefined ? null : JSON.stringify(details)
  }
}
