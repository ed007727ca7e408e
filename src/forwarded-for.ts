import { isIP } from 'node:net'

/**
 * `X-Forwarded-For` without the ports and brackets that some proxies write, which would make each connection a client of its own.
 * What is no address, and all before it, is left out: a proxy that we trust appends addresses, so anybody may have written that.
 */
export function forwardedAddresses (header: string): string {
  const addresses = header.split(',').map(withoutPort)
  const lastBad = addresses.findLastIndex((address) => isIP(address) === 0)
  return addresses.slice(lastBad + 1).join(', ')
}

function withoutPort (entry: string): string {
  const address = entry.trim()
  const [, bare = address] = /^([\d.]+):\d+$/.exec(address) ?? /^\[(.+)\](?::\d+)?$/.exec(address) ?? []
  return bare
}
