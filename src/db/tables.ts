import type { columns } from './sqlite-tables.ts'

/** The column builders a dialect must offer; `sqlite-tables.ts` and `pg-tables.ts` each bring their own. */
export type Columns = typeof columns

/**
 * The only description of the tables, made once per dialect.
 * Times are integer milliseconds on both, so that a row reads the same wherever it is stored.
 */
export function defineTables ({ table, text, integer, time, flag, index, uniqueIndex }: Columns) {
  const users = table('users', {
    id: text('id').primaryKey(),
    username: text('username').notNull(),
    /** The canonical form, which is compared; `username` keeps the form it was given. */
    usernameKey: text('username_key').notNull(),
    email: text('email'),
    emailKey: text('email_key'),
    emailVerified: flag('email_verified').notNull(),
    passwordHash: text('password_hash').notNull(),
    /** A JSON object, copied into each access token. */
    claims: text('claims').notNull(),
    /** The id this user had in the system it was imported from. */
    externalId: text('external_id'),
    /** Sessions of an older epoch are over, but for `keptSession`: one UPDATE here ends them all. */
    sessionEpoch: integer('session_epoch').notNull(),
    keptSession: text('kept_session'),
    disabledAt: time('disabled_at'),
    createdAt: time('created_at').notNull(),
    lastLoginAt: time('last_login_at')
  }, (t) => [
    uniqueIndex('users_username_key').on(t.usernameKey),
    uniqueIndex('users_email_key').on(t.emailKey),
    uniqueIndex('users_external_id').on(t.externalId)
  ])

  const sessions = table('sessions', {
    id: text('id').primaryKey(),
    userId: text('user_id').notNull().references(() => users.id, { onDelete: 'cascade' }),
    /** The user's `sessionEpoch` at login. */
    epoch: integer('epoch').notNull(),
    /** The newest refresh token issued. */
    generation: integer('generation').notNull(),
    /** The generation last used. */
    previous: integer('previous'),
    /** The oldest generation issued since `previous` was used. */
    first: integer('first').notNull(),
    rotatedAt: time('rotated_at').notNull(),
    idleExpiresAt: time('idle_expires_at').notNull(),
    expiresAt: time('expires_at').notNull(),
    /** Which secret signs the tokens `first` … `generation`. */
    keyId: text('key_id').notNull(),
    /** Which secret signed the token `previous`. */
    previousKeyId: text('previous_key_id'),
    revokedAt: time('revoked_at'),
    revokedReason: text('revoked_reason'),
    createdAt: time('created_at').notNull(),
    /** Of the login, or the last refresh that gave a new token. */
    ip: text('ip').notNull(),
    userAgent: text('user_agent').notNull()
  }, (t) => [
    // Nothing that a refresh changes is indexed: a rotation then touches one page.
    index('sessions_user_id').on(t.userId),
    index('sessions_expires_at').on(t.expiresAt)
  ])

  const signingKeys = table('signing_keys', {
    /** RFC 7638 thumbprint of the public key. */
    kid: text('kid').primaryKey(),
    alg: text('alg').notNull(),
    publicJwk: text('public_jwk').notNull(),
    /** PKCS #8, encrypted under the master secret that `keyId` names. */
    encryptedKey: text('encrypted_key').notNull(),
    keyId: text('key_id').notNull(),
    activeFrom: time('active_from').notNull(),
    revokedAt: time('revoked_at'),
    createdAt: time('created_at').notNull()
  }, (t) => [uniqueIndex('signing_keys_active_from').on(t.activeFrom)])

  /** How often a name was guessed at: at an address block, or anywhere. Its rules are in `login-attempts.ts`. */
  const loginAttempts = table('login_attempts', {
    /** HMAC of the name, or of the name and the block. */
    id: text('id').primaryKey(),
    failures: integer('failures').notNull(),
    /** Attempts under way, and when the last of them began. */
    pending: integer('pending').notNull(),
    pendingSince: time('pending_since').notNull(),
    blockedUntil: time('blocked_until').notNull(),
    /** From then on `failures` count no more. */
    forgetAt: time('forget_at').notNull(),
    /** Until then the block is one of the account's own. */
    knownUntil: time('known_until').notNull(),
    /** From then on nobody needs the row. */
    expiresAt: time('expires_at').notNull()
  }, (t) => [index('login_attempts_expires_at').on(t.expiresAt)])

  /** What happened to accounts and sessions; append only. */
  const auditEvents = table('audit_events', {
    /** UUIDv7, so that the order of ids is the order of events. */
    id: text('id').primaryKey(),
    event: text('event').notNull(),
    at: time('at').notNull(),
    userId: text('user_id'),
    sessionId: text('session_id'),
    ip: text('ip'),
    userAgent: text('user_agent'),
    requestId: text('request_id'),
    /** A JSON object, or null. */
    details: text('details')
  }, (t) => [
    index('audit_events_user_id').on(t.userId),
    index('audit_events_at').on(t.at)
  ])

  return { users, sessions, signingKeys, loginAttempts, auditEvents }
}

export type Tables = ReturnType<typeof defineTables>
