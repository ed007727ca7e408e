import { auditQueries } from './audit.ts'
import type { Dialect } from './dialect.ts'
import { loginAttemptQueries } from './login-attempts.ts'
import { sessionQueries } from './sessions.ts'
import { signingKeyQueries } from './signing-keys.ts'
import type { Tables } from './tables.ts'
import { userQueries } from './users.ts'

export type { AuditEvent } from './audit.ts'
export type { Rotation } from './rotation.ts'
export type { Session } from './sessions.ts'
export type { SigningKey } from './signing-keys.ts'
export type { User } from './users.ts'

/** All queries. Each invariant is one statement, prepared once. */
export function createStore (dialect: Dialect, tables: Tables) {
  return {
    ...userQueries(dialect, tables),
    ...sessionQueries(dialect, tables),
    ...signingKeyQueries(dialect, tables),
    ...loginAttemptQueries(dialect, tables),
    ...auditQueries(dialect, tables)
  }
}

export type Store = ReturnType<typeof createStore>
/** A session and what its user adds to a token; `allowed` says whether the user lets it go on. */
export type SessionState = NonNullable<Awaited<ReturnType<Store['findSession']>>>
/** A session after a step of the refresh table. */
export type RotatedSession = NonNullable<Awaited<ReturnType<Store['rotateSession']>>>
