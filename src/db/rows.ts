import { createSelectSchema } from 'drizzle-typebox'
import { sessions, signingKeys, users } from './sqlite-tables.ts'

/** What a row has to be when it comes from outside; its types are the same on both databases. */
export const rowSchemas = {
  signing_key: createSelectSchema(signingKeys),
  user: createSelectSchema(users),
  session: createSelectSchema(sessions)
}
