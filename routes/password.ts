import type { FastifyRequest } from 'fastify'
import type { User } from '../src/db/open.ts'
import { fieldError } from '../src/errors.ts'
import type { Attempt } from '../src/login-attempts.ts'
import { resemblesUser } from '../src/password-policy.ts'
import { bearer, bearerProblems, bodyProblems, noContent, problems } from '../src/responses.ts'
import { PasswordChange, ref, type Routes } from '../src/schemas.ts'
import { loginNames } from '../src/users.ts'

const schema = {
  operationId: 'changePassword',
  tags: ['Account'],
  summary: 'Change the password',
  description: 'Every other session ends; this one stays. After some failed attempts the next ones have to wait.',
  security: bearer,
  body: ref(PasswordChange),
  response: { 204: noContent('The password is changed.') },
  problems: problems(...bodyProblems, ...bearerProblems, 'invalid_credentials', 'too_many_attempts', 'overloaded')
}

export const password: Routes = async (app) => {
  app.post('/password', { schema, config: { limit: 'password' }, onRequest: app.authenticate }, async (request, reply) => {
    const user = await app.sessions.userOf(request.user)
    if (user === undefined) return reply.problem('invalid_token')
    const { current_password: current, new_password: next } = request.body
    if (resemblesUser(next, user)) return reply.problem('invalid_request', [fieldError('/new_password', 'resembles_user')])

    // Who holds a stolen access token must not guess the password with it.
    const admission = await app.loginAttempts.admit(user.username, request.addressBlock)
    if (admission.outcome === 'refused') return reply.header('retry-after', admission.retryAfter).problem('too_many_attempts')
    const slot = app.passwords.reserve('other')
    if (slot === undefined) {
      await admission.attempt.abandoned()
      return reply.problem('overloaded')
    }
    try {
      if (!await isPassword(request, { user, current, attempt: admission.attempt })) return reply.problem('invalid_credentials')
      return await change(request, user, next) ? reply.code(204).send() : reply.problem('invalid_token')
    } finally {
      slot.release()
    }
  })

  async function isPassword (request: FastifyRequest, { user, current, attempt }: { user: User, current: string, attempt: Attempt }): Promise<boolean> {
    const { matches } = await app.passwords.verify(current, user.passwordHash).catch(async (error: unknown) => {
      await attempt.abandoned()
      throw error
    })
    if (matches) await attempt.succeeded(loginNames(user))
    else await recordFailure(request, user.id, await attempt.failed())
    return matches
  }

  async function recordFailure (request: FastifyRequest, userId: string, locked: boolean) {
    await Promise.all([
      request.audit('authn_password_change_fail', { userId }),
      locked && request.recordLock(userId)
    ])
  }

  /** False when somebody else has changed the password, or ended the sessions, while this request was at work. */
  async function change (request: FastifyRequest, user: User, next: string): Promise<boolean> {
    const { sid } = request.user
    const hash = await app.passwords.hash(next)
    const changed = await app.db.store.changePassword({ id: user.id, epoch: user.sessionEpoch, hash, session: sid })
    if (changed) await request.audit('authn_password_change', { userId: user.id, sessionId: sid })
    return changed
  }
}
