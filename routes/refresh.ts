import { answer, bodyProblems, problems, refreshCookie } from '../src/responses.ts'
import { OptionalRefreshToken, ref, type Routes, TokenPair } from '../src/schemas.ts'

const schema = {
  operationId: 'refresh',
  tags: ['Tokens'],
  summary: 'Get a fresh pair of tokens',
  description: 'Each refresh token is for one use. A retry within the grace time gets the same refresh token again; ' +
    'a client whose answer was lost may use its last token once more; a token that turns up again later ends the session. ' +
    'With LATCHKEY_REFRESH_ROTATION=off the same refresh token comes back, good until the end it has. ' +
    'A browser that has the token in its cookie sends no body, and gets the next one in the cookie.',
  security: [],
  body: ref(OptionalRefreshToken),
  response: { 200: answer(TokenPair, 'The newest tokens of the session.', refreshCookie) },
  problems: problems(...bodyProblems, 'invalid_refresh_token', 'csrf_rejected', 'overloaded')
}

export const refresh: Routes = async (app) => {
  app.post('/refresh', { schema, config: { limit: 'refresh' }, preHandler: app.checkTransport }, async (request, reply) => {
    const presented = request.refreshToken
    if (presented === undefined) return reply.problem('invalid_refresh_token')
    const refreshed = await request.refreshSession(presented.token)
    if (refreshed.outcome === 'refused') return reply.problem('invalid_refresh_token')
    return reply.sendTokens(refreshed.tokens, presented.transport)
  })
}
