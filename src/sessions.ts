import { v7 as uuidv7 } from 'uuid'
import type { AccessClaims, AccessToken, AccessTokens } from './access-tokens.ts'
import type { Config } from './config.ts'
import type { Rotation, Session, SessionState, Store, User } from './db/open.ts'
import { type Step, stepFor, type Windows } from './refresh-table.ts'
import type { PresentedToken, RefreshToken, RefreshTokens } from './refresh-tokens.ts'
import { Unavailable } from './unavailable.ts'

type Settings = Windows & Pick<Config, 'sessionIdle' | 'sessionMax'>

export interface Dependencies {
  store: Store
  accessTokens: AccessTokens
  refreshTokens: RefreshTokens
  /** Id of the master secret that signs new refresh tokens. */
  primaryKeyId: string
  settings: Settings
  now: () => number
}

export interface Client {
  ip: string
  userAgent: string
}

export interface Tokens {
  access: AccessToken
  refresh: RefreshToken
  /** Seconds for which the refresh token is good. */
  refreshExpiresIn: number
}

/** What became of a refresh token; `elsewhere` when it came from another address than the last one that gave a new token. */
export type Refreshed =
  | { outcome: 'refreshed', step: Exclude<Step, 'ended' | 'reuse'>, session: Session, tokens: Tokens, elsewhere: boolean }
  | { outcome: 'refused', step: 'unreadable' | 'ended' }
  | { outcome: 'refused', step: 'reuse', session: Session }

export interface Opened {
  sessionId: string
  tokens: Tokens
}

const USER_AGENT_KEPT = 64
const COUNTED_AT_ONCE = 2_000

export type Sessions = ReturnType<typeof createSessions>

/** The life of a session: opened by a login, carried on by refreshes, ended by a logout (docs/sessions.md). */
export function createSessions ({ store, accessTokens, refreshTokens, primaryKeyId, settings, now }: Dependencies) {
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
      userAgent: client.userAgent.slice(0, USER_AGENT_KEPT)
    }
    // Asked for together, they are committed together.
    const [opened] = await Promise.all([store.openSession(session), store.recordLogin(user.id, time)])
    const tokens = opened ? tokensFor({ ...session, claims: user.claims, externalId: user.externalId }) : undefined
    return tokens && { sessionId: session.id, tokens }
  }

  /**
   * One step of the refresh table. The usual case is one UPDATE; when no row matched, the row is read and judged once,
   * and a step that only became possible meanwhile is tried once more.
   */
  async function refresh (token: string, ip: string): Promise<Refreshed> {
    const time = now()
    const presented = refreshTokens.verify(token, time)
    if (presented === undefined || presented.expired) return { outcome: 'refused', step: 'unreadable' }

    let fastForward = false
    for (let attempt = 1; attempt <= 2; attempt++) {
      const rotated = await store.rotateSession(rotation(presented, { time, ip, fastForward }))
      if (rotated) return refreshed(fastForward ? 'fast_forward' : stepTaken(rotated), rotated, false)

      const state = await store.findSession(presented.sessionId)
      const step = state === undefined ? 'ended' : stepFor(state, presented, { ...settings, now: time, primaryKeyId })
      if (state === undefined || step === 'ended') return { outcome: 'refused', step: 'ended' }
      if (step === 'replay') return refreshed(step, state, state.ip !== ip)
      if (step === 'reuse') {
        await store.revokeSession(state.id, time, 'reuse_detected')
        return { outcome: 'refused', step, session: state }
      }
      fastForward = step === 'fast_forward'
    }
    throw new Unavailable('the session changed under two attempts')
  }

  function rotation ({ sessionId, generation, keyId }: PresentedToken, { time, ip, fastForward }: { time: number, ip: string, fastForward: boolean }): Rotation {
    const { sessionIdle, refreshGrace, refreshRecovery } = settings
    return {
      id: sessionId,
      generation,
      keyId,
      primaryKeyId,
      ip,
      now: time,
      idleExpiresAt: time + sessionIdle,
      // A window of 0 ms is none: not even this millisecond is in it, nor one ahead of our clock.
      usedBefore: refreshGrace > 0 ? time - refreshGrace : Number.MAX_SAFE_INTEGER,
      usedSince: refreshRecovery > 0 ? time - refreshRecovery : Number.MAX_SAFE_INTEGER,
      fastForward: fastForward ? 1 : 0
    }
  }

  function refreshed (step: Exclude<Step, 'ended' | 'reuse'>, row: TokenRow, elsewhere: boolean): Refreshed {
    const tokens = tokensFor(row)
    return tokens ? { outcome: 'refreshed', step, session: row, tokens, elsewhere } : { outcome: 'refused', step: 'ended' }
  }

  function tokensFor (row: TokenRow): Tokens | undefined {
    const refresh = refreshTokens.issue(row)
    if (refresh === undefined) return undefined
    const { id: sessionId, userId, expiresAt, claims, externalId } = row
    const access = accessTokens.issue({ userId, sessionId, expiresAt, claims, externalId })
    return { access, refresh, refreshExpiresIn: refresh.exp - Math.floor(now() / 1000) }
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
    refresh,
    countLive,
    logout,
    /** Whether the session and the user of a good access token are good too. */
    isLive: ({ sid, sub }: AccessClaims) => store.isLiveSession(sid, sub, now()),
    /** The user of a session; undefined when it has ended meanwhile. */
    userOf: ({ sid, sub }: AccessClaims) => store.findUserOfLiveSession(sid, sub, now()),
    list: (userId: string) => store.listLiveSessions(userId, now()),
    /** False when it is not a live session of this user. */
    end: (id: string, userId: string) => store.revokeOwnSession({ id, userId, now: now(), reason: 'logout' })
  }
}

/** Recovery leaves the lost sibling usable beside the new one. */
function stepTaken ({ first, generation }: Session): 'rotate' | 'recover' {
  return first < generation ? 'recover' : 'rotate'
}

type TokenRow = Session & Pick<SessionState, 'claims' | 'externalId'>
