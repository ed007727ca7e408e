import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { LoggedIn } from './login.ts'
import { limitNames } from './rate-limits.ts'
import type { Refreshed } from './session-refresh.ts'

/** From half a millisecond to the longest that a client may wait (s). */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

const outcomes = Object.keys({ logged_in: 0, invalid_credentials: 0, too_many_attempts: 0, overloaded: 0 } satisfies Record<LoggedIn['outcome'], 0>)
const steps = Object.keys({ rotate: 0, keep: 0, replay: 0, recover: 0, fast_forward: 0, reuse: 0, ended: 0, unreadable: 0 } satisfies Record<Refreshed['step'], 0>)

export type Metrics = ReturnType<typeof createMetrics>

/** Everything that is counted, in a registry of its own. Labels come from closed sets: nothing that a client sends becomes one. */
export function createMetrics () {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const metrics = {
    registry,
    /** @param places is asked at each scrape. */
    watchHashPlaces: (places: () => number) => new Gauge({ registers, name: 'latchkey_hash_places', help: 'Places taken in the hashing queue, at work or waiting.', collect () { this.set(places()) } }),
    requests: new Counter({ registers, name: 'latchkey_http_requests_total', help: 'Requests answered; the route is none where there is none, and unparsed where the request cannot be read.', labelNames: ['method', 'route', 'status'] as const }),
    requestSeconds: new Histogram({ registers, name: 'latchkey_http_request_seconds', help: 'Time to answer a request.', labelNames: ['method', 'route'] as const, buckets: SECONDS }),
    logins: new Counter({ registers, name: 'latchkey_logins_total', help: 'Logins by outcome: logged_in, invalid_credentials, too_many_attempts or overloaded.', labelNames: ['outcome'] as const }),
    lockouts: new Counter({ registers, name: 'latchkey_lockouts_total', help: 'Delays that began after failed logins.' }),
    refreshes: new Counter({ registers, name: 'latchkey_refreshes_total', help: 'Refreshes by the case of the refresh table.', labelNames: ['step'] as const }),
    rateLimited: new Counter({ registers, name: 'latchkey_rate_limited_total', help: 'Requests over a rate limit.', labelNames: ['limit'] as const }),
    hashWaitSeconds: new Histogram({ registers, name: 'latchkey_hash_wait_seconds', help: 'Time that a hash waited for a thread.', buckets: SECONDS }),
    databaseSeconds: new Histogram({ registers, name: 'latchkey_database_seconds', help: 'Time of a statement, its commit included.', labelNames: ['statement'] as const, buckets: SECONDS }),
    commitWrites: new Histogram({ registers, name: 'latchkey_commit_writes', help: 'Writes that shared one commit.', buckets: [1, 2, 4, 8, 16, 32, 64] }),
    liveSessions: new Gauge({ registers, name: 'latchkey_live_sessions', help: 'Sessions that can be refreshed; counted once a minute.' })
  }
  // Prometheus takes a series that begins at 1 for no increase: the first of a kind would be lost.
  for (const outcome of outcomes) metrics.logins.inc({ outcome }, 0)
  for (const step of steps) metrics.refreshes.inc({ step }, 0)
  for (const limit of limitNames) metrics.rateLimited.inc({ limit }, 0)
  return metrics
}
