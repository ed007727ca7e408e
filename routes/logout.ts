import { bearer, bearerProblems, bodyProblems, noContent, problems, refreshCookie } from '../src/responses.ts'
import { OptionalRefreshToken, ref, type Routes } from '../src/schemas.ts'

const logoutSchema = {
  operationId: 'logout',
  tags: ['Tokens'],
  summary: 'End the session of a refresh token',
  description: 'The answer is 204 for any token, the second time too, and clears a browser\'s cookie. The session\'s access tokens die here at once, elsewhere when they expire.',
  security: [],
  body: ref(OptionalRefreshToken),
  response: { 204: noContent('The session is over.', refreshCookie) },
  problems: problems(...bodyProblems, 'csrf_rejected', 'overloaded')
}

const logoutAllSchema = {
  operationId: 'logoutAll',
  tags: ['Sessions'],
  summary: 'End every session of the caller',
  description: 'For a device that was lost. Access tokens die here at once, elsewhere when they expire; the next login opens a new session.',
  security: bearer,
  response: { 204: noContent('Every session is over, this one too.') },
  problems: problems(...bodyProblems, ...bearerProblems, 'overloaded')
}

export const logout: Routes = async (app) => {
  app.post('/logout', { schema: logoutSchema, config: { limit: 'refresh' }, preHandler: app.checkTransport }, async (request, reply) => {
    const { refreshToken } = request
    if (refreshToken) await request.logOut(refreshToken.token)
    return reply.clearRefreshCookie().code(204).send()
  })

  app.post('/logout/all', { schema: logoutAllSchema, onRequest: app.authenticate }, async (request, reply) => {
    const { sub } = request.user
    await app.db.store.endSessionsOfUser(sub)
    await request.audit('session_logout_all', { userId: sub })
    return reply.code(204).send()
  })
}
