import { Type } from '@sinclair/typebox'
import type { Session } from '../src/db/open.ts'
import { answer, bearer, bearerProblems, bodyProblems, noContent, problems } from '../src/responses.ts'
import { type Routes, SessionList } from '../src/schemas.ts'

const listSchema = {
  operationId: 'listSessions',
  tags: ['Sessions'],
  summary: 'The caller\'s live sessions',
  description: 'One for each login that has neither ended nor expired; `current` marks the one that asks.',
  security: bearer,
  response: { 200: answer(SessionList, 'The live sessions, the oldest first.') },
  problems: problems(...bearerProblems, 'overloaded')
}

const endSchema = {
  operationId: 'endSession',
  tags: ['Sessions'],
  summary: 'End one of the caller\'s sessions',
  description: 'Its access tokens die here at once, elsewhere when they expire. Another user\'s session is not found.',
  security: bearer,
  params: Type.Object({ id: Type.String({ format: 'uuid', maxLength: 36, description: 'The session\'s id.' }) }),
  response: { 204: noContent('The session is over.') },
  problems: problems(...bodyProblems, ...bearerProblems, 'not_found', 'overloaded')
}

export const sessions: Routes = async (app) => {
  app.addHook('onRequest', app.authenticate)

  app.get('/sessions', { schema: listSchema }, async ({ user: { sub, sid } }) => {
    const live = await app.sessions.list(sub)
    return live.map((one) => present(one, sid))
  })

  app.delete('/sessions/:id', { schema: endSchema }, async (request, reply) => {
    const { params, user: { sub, sid } } = request
    // Whoever writes a UUID may do so in capitals (RFC 9562 §4).
    const id = params.id.toLowerCase()
    const outcome = await app.sessions.end(id, sub)
    if (outcome === 'foreign') await request.auditRefusal('session', { userId: sub, sessionId: sid, details: { wanted: id } })
    if (outcome !== 'ended') return reply.problem('not_found')
    await request.audit('session_logout', { userId: sub, sessionId: id })
    return reply.code(204).send()
  })
}

function present (session: Session, current: string) {
  return {
    id: session.id,
    created_at: time(session.createdAt),
    last_used_at: time(session.rotatedAt),
    expires_at: time(Math.min(session.idleExpiresAt, session.expiresAt)),
    ip: session.ip,
    user_agent: session.userAgent,
    current: session.id === current
  }
}

function time (milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
