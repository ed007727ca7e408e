import { answer, bodyProblems, problems } from '../src/responses.ts'
import { ref, Registration, type Routes, User as UserSchema } from '../src/schemas.ts'
import { newUser, presentUser } from '../src/users.ts'

const schema = {
  operationId: 'register',
  tags: ['Account'],
  summary: 'Make an account',
  description: 'It logs nobody in: that is the next call.',
  security: [],
  body: ref(Registration),
  response: {
    201: answer(UserSchema, 'The account.')
  },
  problems: problems(...bodyProblems, 'registration_closed', 'username_taken', 'email_taken', 'overloaded')
}

interface Options extends Record<string, unknown> {
  open: boolean
}

export const register: Routes<Options> = async (app, { open }) => {
  const { now, db: { store } } = app

  app.post('/register', { schema, config: { limit: 'register' }, onRequest: async (_request, reply) => open ? undefined : reply.problem('registration_closed') },
    async (request, reply) => {
      const { body } = request
      const slot = app.passwords.reserve('other')
      if (slot === undefined) return reply.problem('overloaded')
      try {
        const user = newUser({ ...body, passwordHash: await app.passwords.hash(body.password) }, now())
        if (await store.insertUser(user)) {
          await request.audit('user_created', { userId: user.id })
          return reply.code(201).send(presentUser(user))
        }
        return reply.problem(await store.findUserByUsername(user.usernameKey) ? 'username_taken' : 'email_taken')
      } finally {
        slot.release()
      }
    })
}
