import { v7 as uuidv7 } from 'uuid'
import type { AccessClaims } from './access-tokens.ts'
import type { Config } from './config.ts'
import type { Session, User } from './db/open.ts'
import { createRefresh, type RefreshDependencies } from './session-refresh.ts'
import { createSessionTokens, type TokenDependencies, type Tokens } from './session-tokens.ts'
import { keptUserAgent } from './user-agent.ts'

export type Dependencies = RefreshDependencies & TokenDependencies & { settings: Pick<Config, 'sessionMax'> }

export interface Client {
  ip: string
  userAgent: string
}

export interface Opened {
  sessionId: string
  tokens: Tokens
}

const COUNTED_AT_ONCE = 2_000

export type Sessions = ReturnType<typeof createSessions>

/** The life of a session: opened by a login, carried on by refreshes, ended by a logout (docs/sessions.md). */
export function createSessions (dependencies: Dependencies) {
  const { store, refreshTokens, primaryKeyId, settings, now } = dependencies
  const tokensFor = createSessionTokens(dependencies)

  /** @returns undefined when the user was disabled, or their sessions ended, since `user` was read. */
  async function open (user: User, client: Client): Promise<Opened | undefined> {
    const time = now()
    const session: Session = {
      id: uuidv7({ msecs: time }),
      userId: user.id,
      epoch: user.sessionEpoch,
      generation: 1,
      previous: null,
      first: 1,
      rotatedAt: time,
      idleExpiresAt: time + settings.sessionIdle,
      expiresAt: time + settings.sessionMax,
      keyId: primaryKeyId,
      previousKeyId: null,
      revokedAt: null,
      revokedReason: null,
      createdAt: time,
      ip: client.ip,
      userAgent: keptUserAgent(client.userAgent)
    }
    // Asked for together, they are committed together.
    const [opened] = await Promise.all([store.openSession(session), store.recordLogin(user, time)])
    const tokens = opened ? tokensFor({ ...session, claims: user.claims, externalId: user.externalId }) : undefined
    return tokens && { sessionId: session.id, tokens }
  }

  /**
   * Ends the session of any refresh token that one of our secrets signed, whatever its generation or expiry.
   * @returns what was ended; undefined when there was nothing to end.
   */
  async function logout (token: string): Promise<{ sessionId: string, userId: string } | undefined> {
    const presented = refreshTokens.verify(token, now())
    const userId = presented && await store.revokeSession(presented.sessionId, now(), 'logout')
    return presented && userId ? { sessionId: presented.sessionId, userId } : undefined
  }

  /** Ends a live session of a user; `foreign` is somebody else's. */
  async function end (id: string, userId: string): Promise<'ended' | 'none' | 'foreign'> {
    if (await store.revokeOwnSession({ id, userId, now: now(), reason: 'logout' })) return 'ended'
    const session = await store.findSession(id)
    return session && session.userId !== userId ? 'foreign' : 'none'
  }

  /** Counts the live sessions page by page, so that none holds the database for more than a few milliseconds. */
  async function countLive (): Promise<number> {
    let total = 0
    for (let after: string | null = ''; after !== null;) {
      const page = await store.countLiveSessions(after, COUNTED_AT_ONCE, now())
      total += Number(page?.live ?? 0)
      after = page?.last ?? null
    }
    return total
  }

  return {
    open,
    refresh: createRefresh(dependencies, tokensFor),
    countLive,
    logout,
    /** Whether the session and the user of a good access token are good too. */
    isLive: ({ sid, sub }: AccessClaims) => store.isLiveSession(sid, sub, now()),
    /** The user of a session; undefined when it has ended meanwhile. */
    userOf: ({ sid, sub }: AccessClaims) => store.findUserOfLiveSession(sid, sub, now()),
    list: (userId: string) => store.listLiveSessions(userId, now()),
    end
  }
}
