import { fieldError } from '../src/errors.ts'
import { answer, bodyProblems, problems, refreshCookie } from '../src/responses.ts'
import { Credentials, ref, type Routes, TokenPair } from '../src/schemas.ts'

const schema = {
  operationId: 'login',
  tags: ['Tokens'],
  summary: 'Log in',
  description: 'Opens a session and gives its first pair of tokens. After some failed attempts the next ones have to wait.',
  security: [],
  body: ref(Credentials),
  response: { 200: answer(TokenPair, 'The first tokens of a new session.', refreshCookie) },
  problems: problems(...bodyProblems, 'invalid_credentials', 'csrf_rejected', 'too_many_attempts', 'overloaded')
}

export const login: Routes = async (app) => {
  app.post('/login', { schema, config: { limit: 'login' } }, async (request, reply) => {
    const { username, password, transport = 'body' } = request.body
    if (transport === 'cookie' && !app.cookies) return reply.problem('invalid_request', [fieldError('/transport', 'format')])
    if (transport === 'cookie' && !request.isOwnPage()) return await reply.rejectCrossSite()

    const result = await request.logIn(username, password)
    if (result.outcome === 'logged_in') return reply.sendTokens(result.tokens, transport)
    if (result.outcome === 'too_many_attempts') reply.header('retry-after', result.retryAfter)
    return reply.problem(result.outcome)
  })
}
