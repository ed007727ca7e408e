import { join } from 'node:path'

/** All that is on by default; limits so high that none is met, so that requests are counted all the same. */
const common: NodeJS.ProcessEnv = {
  // bcrypt at 10 keeps the bench short; the ratios do not depend on it.
  LATCHKEY_BCRYPT_COST: '10',
  LATCHKEY_ACCESS_TTL: '24h',
  LATCHKEY_PUBLIC_URL: 'https://latchkey.test',
  LATCHKEY_RATE_LIMIT: ['default', 'register', 'login', 'refresh', 'password'].map((name) => `${name}=999999999/24h`).join(),
  LATCHKEY_SHUTDOWN_DELAY: '0s'
}

/** A service over a file in `folder`. */
export function onFile (folder: string): NodeJS.ProcessEnv {
  return { ...common, DATABASE_URL: `file:${join(folder, 'latchkey.db')}` }
}

/** A service over a PostgreSQL database. */
export function onServer (url: string): NodeJS.ProcessEnv {
  return { ...common, DATABASE_URL: url, LATCHKEY_SECRET: 'mXv83-qLr0Tz_5Wn2KdYc7BfHs94UgJe' }
}

/** All that can be switched on besides. Prometheus is given a port beside the service's own. */
export function everything (port: number): NodeJS.ProcessEnv {
  return { LATCHKEY_METRICS: `127.0.0.1:${port + 1000}`, LATCHKEY_COOKIES: 'on', LATCHKEY_CORS_ORIGINS: 'https://app.latchkey.test', LATCHKEY_SIMPLE_JWT: 'on' }
}
