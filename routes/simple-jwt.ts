import { answer, bodyProblems, problems } from '../src/responses.ts'
import { ref, type Routes } from '../src/schemas.ts'
import { blacklisted, readFields } from '../src/simple-jwt.ts'
import { AnyToken, Credentials, Nothing, Pair, Refresh, Refreshed, SIMPLE_JWT } from '../src/simple-jwt-schemas.ts'

const shared = {
  tags: [SIMPLE_JWT],
  security: [],
  consumes: ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data']
}

const ofTokens = problems(...bodyProblems, 'invalid_token', 'overloaded')

const obtain = {
  ...shared,
  operationId: 'simpleJwtObtain',
  summary: 'Log in, as with Simple JWT',
  description: 'Opens a session and gives its first pair of tokens; they are those of `POST /login`.',
  body: ref(Credentials),
  response: { 200: answer(Pair, 'The first tokens of a new session.') },
  problems: problems(...bodyProblems, 'invalid_credentials', 'too_many_attempts', 'overloaded')
}

const refresh = {
  ...shared,
  operationId: 'simpleJwtRefresh',
  summary: 'Get a fresh pair of tokens, as with Simple JWT',
  description: 'By the same rules as `POST /refresh`, to which these tokens may go as well.',
  body: ref(Refresh),
  response: { 200: answer(Refreshed, 'The newest tokens of the session.') },
  problems: ofTokens
}

const verify = {
  ...shared,
  operationId: 'simpleJwtVerify',
  summary: 'Whether a token is good, as with Simple JWT',
  description: 'An access token or a refresh token; one whose session has ended is good no longer.',
  body: ref(AnyToken),
  response: { 200: answer(Nothing, 'It is good.') },
  problems: ofTokens
}

const blacklist = {
  ...shared,
  operationId: 'simpleJwtBlacklist',
  summary: 'Log out, as with Simple JWT',
  description: 'Ends the session of a refresh token, as `POST /logout` does; its access tokens die here at once.',
  body: ref(Refresh),
  response: { 200: answer(Nothing, 'The session is over.') },
  problems: ofTokens
}

/** Logins and tokens in the words of Simple JWT, over the same sessions (docs/django.md). */
export const simpleJwt: Routes = async (app) => {
  app.post('/', { schema: obtain, config: { limit: 'login' } }, async (request, reply) => {
    const read = readFields(request.body, ['username', 'password'])
    if (read.outcome === 'refused') return reply.refuseFields(read.errors)
    const result = await request.logIn(read.fields.username, read.fields.password)
    if (result.outcome === 'logged_in') return { refresh: result.tokens.refresh.token, access: result.tokens.access.token }
    if (result.outcome === 'too_many_attempts') reply.header('retry-after', result.retryAfter)
    return reply.problem(result.outcome)
  })

  app.post('/refresh', { schema: refresh, config: { limit: 'refresh' } }, async (request, reply) => {
    const read = readFields(request.body, ['refresh'])
    if (read.outcome === 'refused') return reply.refuseFields(read.errors)
    const refreshed = await request.refreshSession(read.fields.refresh)
    if (refreshed.outcome === 'refused') return reply.refuseToken(await app.inspectToken(read.fields.refresh))
    const { access, refresh: next } = refreshed.tokens
    return { access: access.token, ...(next.token !== read.fields.refresh && { refresh: next.token }) }
  })

  app.post('/verify', { schema: verify }, async (request, reply) => {
    const read = readFields(request.body, ['token'])
    if (read.outcome === 'refused') return reply.refuseFields(read.errors)
    const inspected = await app.inspectToken(read.fields.token)
    if (inspected.state === 'good') return {}
    return inspected.state === 'over' ? reply.refuseFields(blacklisted) : reply.refuseToken(inspected)
  })

  app.post('/blacklist', { schema: blacklist, config: { limit: 'refresh' } }, async (request, reply) => {
    const read = readFields(request.body, ['refresh'])
    if (read.outcome === 'refused') return reply.refuseFields(read.errors)
    const inspected = await app.inspectToken(read.fields.refresh)
    // Whatever its age: what it opened is over.
    await request.logOut(read.fields.refresh)
    return inspected.type === 'refresh' && inspected.state === 'good' ? {} : reply.refuseToken(inspected)
  })
}
