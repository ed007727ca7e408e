import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { AuditEventName } from '../src/audit.ts'
import type { User } from '../src/db/open.ts'
import { createLogin, type LoggedIn } from '../src/login.ts'
import { createLoginAttempts, type LoginAttempts } from '../src/login-attempts.ts'
import type { Refreshed } from '../src/session-refresh.ts'

declare module 'fastify' {
  interface FastifyInstance {
    loginAttempts: LoginAttempts
  }

  interface FastifyRequest {
    /** Logs in with what somebody typed. */
    logIn: (username: string, password: string) => Promise<LoggedIn>
    refreshSession: (refreshToken: string) => Promise<Refreshed>
    logOut: (refreshToken: string) => Promise<void>
    /** Records that the next attempts at the password of an account have to wait. */
    recordLock: (userId: string | undefined) => Promise<void>
  }
}

interface Options {
  /** Names the counters of attempts. */
  attemptsKey: Buffer
}

/** What deserves a record beside an ordinary rotation. */
const eventsOfRefresh: Partial<Record<Refreshed['step'], AuditEventName>> = {
  recover: 'session_recovered',
  fast_forward: 'session_fast_forward',
  reuse: 'authn_token_reuse'
}

/** What a client does with tokens, whatever words its route speaks: the rule, then the record and the count of it. */
async function tokens (app: FastifyInstance, { attemptsKey }: Options) {
  const { now, passwords, sessions, metrics, db: { store } } = app
  const attempts = createLoginAttempts({ store, key: attemptsKey, now })
  const judgeLogin = createLogin({ store, passwords, sessions, attempts })

  app.decorate('loginAttempts', attempts)
  app.decorateRequest('logIn', logIn)
  app.decorateRequest('refreshSession', refreshSession)
  app.decorateRequest('logOut', logOut)
  app.decorateRequest('recordLock', recordLock)

  async function logIn (this: FastifyRequest, username: string, password: string) {
    const { ip, addressBlock, headers } = this
    const result = await judgeLogin({ username, password }, { ip, addressBlock, userAgent: headers['user-agent'] ?? '' })
    metrics?.logins.inc({ outcome: result.outcome })
    if (result.outcome === 'logged_in') await recordSuccess(this, result)
    if (result.outcome === 'invalid_credentials') await recordFailure(this, result)
    return result
  }

  async function recordSuccess (request: FastifyRequest, { user, sessionId, outdated, failedBefore, password }: Extract<LoggedIn, { outcome: 'logged_in' }>) {
    const subject = { userId: user.id, sessionId }
    await Promise.all([
      request.audit(failedBefore ? 'authn_login_successafterfail' : 'authn_login_success', subject),
      request.audit('session_created', subject)
    ])
    if (outdated) setImmediate(upgrade, user, password)
  }

  async function recordFailure (request: FastifyRequest, { user, locked }: Extract<LoggedIn, { outcome: 'invalid_credentials' }>) {
    // For who is asked why nobody gets in; whether the password was right is not even told here.
    const details = user && user.disabledAt !== null ? { details: { disabled: true } } : {}
    await Promise.all([
      request.audit('authn_login_fail', { userId: user?.id, ...details }),
      locked && request.recordLock(user?.id)
    ])
  }

  async function recordLock (this: FastifyRequest, userId: string | undefined) {
    metrics?.lockouts.inc()
    await this.audit('authn_login_lock', { userId })
  }

  /** The user need not wait for the new hash; if it fails, the next login tries again. */
  async function upgrade (user: User, password: string) {
    const slot = passwords.reserve('login')
    if (slot === undefined) return
    try {
      await store.upgradeHash(user.id, user.passwordHash, await passwords.hash(password))
    } catch (error) {
      app.log.warn({ err: error }, 'a password hash could not be upgraded')
    } finally {
      slot.release()
    }
  }

  async function refreshSession (this: FastifyRequest, refreshToken: string) {
    const refreshed = await sessions.refresh(refreshToken, this.ip)
    metrics?.refreshes.inc({ step: refreshed.step })
    const elsewhere = refreshed.outcome === 'refreshed' && refreshed.elsewhere
    const event = elsewhere ? 'session_replayed_elsewhere' : eventsOfRefresh[refreshed.step]
    if (event && 'session' in refreshed) await this.audit(event, { userId: refreshed.session.userId, sessionId: refreshed.session.id })
    return refreshed
  }

  async function logOut (this: FastifyRequest, refreshToken: string) {
    const ended = await sessions.logout(refreshToken)
    if (ended) await this.audit('session_logout', ended)
  }
}

export default fp(tokens, { fastify: '5.x', name: 'tokens', dependencies: ['auth', 'audit', 'passwords', 'rate-limit'] })
