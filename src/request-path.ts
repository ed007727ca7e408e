/** The path that a request names, without its query. Before the host of a whole URL (RFC 9112 §3.2.2), which may have any scheme, there may be a password. */
export function requestPath (url: string): string {
  return url.replace(/^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i, '').replace(/[?#].*/s, '')
}
