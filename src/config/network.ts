import { isIP } from 'node:net'
import { type Limit, type LimitName, limitNames, type RateLimits } from '../rate-limits.ts'
import { milliseconds } from './kinds.ts'

export const DEFAULT_RATE_LIMITS = 'default=1000/1m, register=20/1m, login=60/1m, refresh=300/1m, password=20/1m'

/** `off`, or `login=60/1m, …`: undefined, or a limit for every operation. */
export function rateLimits (value: string): RateLimits | undefined {
  if (value === 'off') return undefined
  // The defaults name every operation.
  return Object.fromEntries([DEFAULT_RATE_LIMITS, value].flatMap((limits) => limits.split(',').map(rateLimit))) as RateLimits
}

function rateLimit (entry: string): [LimitName, Limit] {
  const [, wanted, max, window = ''] = /^\s*(\w+)=(\d{1,9})\/(\w+)\s*$/.exec(entry) ?? []
  const name = limitNames.find((one) => one === wanted)
  const time = milliseconds(window)
  if (name === undefined || !(Number(max) > 0 && time >= 1_000 && time <= 86_400_000)) {
    throw new Error(`expected off, or limits such as login=60/1m, of ${limitNames.join(', ')}`)
  }
  return [name, { max: Number(max), window: time }]
}

/** @throws unless it is an IP address or a CIDR block: `true`, or a number of hops, would let clients choose their address. */
export function proxy (entry: string): void {
  const [address = '', prefix, ...rest] = entry.split('/')
  const family = isIP(address)
  const bits = prefix === undefined ? 0 : /^\d{1,3}$/.test(prefix) ? Number(prefix) : NaN
  if (family === 0 || rest.length > 0 || !(bits <= (family === 4 ? 32 : 128))) {
    throw new Error('expected IP addresses and CIDR blocks, such as 10.0.0.0/8, ::1')
  }
}

/** @throws unless it is an origin as browsers send it (RFC 6454 §6.2); it is compared as a whole, so a wildcard would let nobody in. */
export function origin (entry: string): void {
  const url = URL.canParse(entry) ? new URL(entry) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.origin !== entry || entry.includes('*')) {
    throw new Error('expected origins, such as https://app.example.com, without a path')
  }
}

export function hostAndPort (value: string): { host: string, port: number } {
  const [, host, port] = /^\[?([^\s/[\]]+)\]?:(\d{1,5})$/.exec(value) ?? []
  if (host === undefined || Number(port) > 65_535) throw new Error('expected an address and a port, such as 127.0.0.1:9464')
  return { host, port: Number(port) }
}

export function redisUrl (value: string): string {
  if (!/^rediss?:\/\//.test(value) || !URL.canParse(value)) throw new Error('expected a URL such as redis://localhost:6379')
  return value
}

/** The first segments of our own paths. */
const ownSegments = ['register', 'login', 'refresh', 'logout', 'private', 'me', 'password', 'sessions', 'livez', 'readyz', 'docs', 'openapi.json', 'openapi.yaml']

/** @throws unless it is a path of plain segments that no route of ours begins with. */
export function freePath (value: string): string {
  const [, first = ''] = /^\/(\w[\w.-]*)(?:\/\w[\w.-]*)*$/.exec(value) ?? []
  if (first === '' || value.length > 100 || ownSegments.includes(first)) throw new Error('expected a path such as /api/token, beside the service\'s own')
  return value
}
