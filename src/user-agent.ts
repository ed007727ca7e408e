/** Enough for what a browser says last: its own name. */
export const USER_AGENT_KEPT = 256

/** What is kept of a User-Agent. JSON leaves U+009B as it is, with which a sequence for the terminal can begin (ECMA-48 §5.4). */
export function keptUserAgent (sent: string): string {
  return sent.slice(0, USER_AGENT_KEPT).replace(/\p{Cc}/gu, '\ufffd')
}
