import { answer, bearer, bearerProblems, problems } from '../src/responses.ts'
import { type Routes, User } from '../src/schemas.ts'
import { presentUser } from '../src/users.ts'

const schema = {
  operationId: 'getMe',
  tags: ['Account'],
  summary: 'The caller\'s account',
  description: 'As it is now: a service that has to be sure that an account is active asks here, with the token that it was given.',
  security: bearer,
  response: { 200: answer(User, 'The account.') },
  problems: problems(...bearerProblems, 'overloaded')
}

export const me: Routes = async (app) => {
  app.get('/me', { schema, onRequest: app.authenticate }, async (request, reply) => {
    const user = await app.sessions.userOf(request.user)
    return user ? presentUser(user) : reply.problem('invalid_token')
  })
}
