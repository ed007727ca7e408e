import { answer, bearer, bearerProblems, Greeting, problems, type Routes } from '../src/schemas.ts'

const schema = {
  operationId: 'getPrivate',
  tags: ['Private'],
  summary: 'Something that only a token opens',
  security: bearer,
  response: { 200: answer(Greeting, 'Access granted.') },
  problems: problems(...bearerProblems, 'overloaded')
}

/** `private` is a reserved word. */
export const privateRoute: Routes = async (app) => {
  app.get('/private', { schema, onRequest: app.authenticate }, async () => ({ message: 'Access Granted!' as const }))
}
