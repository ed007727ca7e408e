import { answer, bearer, bearerProblems, problems } from '../src/responses.ts'
import { Greeting, type Routes } from '../src/schemas.ts'

const schema = {
  operationId: 'getPrivate',
  tags: ['Private'],
  summary: 'Something that only a token opens',
  description: 'To try a token: one that is good here is signed by us, has not expired, and belongs to a live session of an active account.',
  security: bearer,
  response: { 200: answer(Greeting, 'Access granted.') },
  problems: problems(...bearerProblems, 'overloaded')
}

/** `private` is a reserved word. */
export const privateRoute: Routes = async (app) => {
  app.get('/private', { schema, onRequest: app.authenticate }, async () => ({ message: 'Access Granted!' as const }))
}
