import autocannon from 'autocannon'

const json = { 'content-type': 'application/json' }

interface Load {
  connections: number
  seconds: number
}

/** GET /private with each of `tokens` in turn; requests per second, all of them 200. */
export async function privateLoad (url: string, tokens: string[], { connections, seconds }: Load): Promise<number> {
  const requests = tokens.map((token) => ({ path: '/private', headers: { authorization: `Bearer ${token}` } }))
  return perSecond(await autocannon({ url, connections, duration: seconds, requests }))
}

/**
 * POST /refresh: each connection is one client, which sends the newest token it got. Tokens are used up:
 * the clients leave their newest ones in `jar`.
 */
export async function refreshLoad (url: string, jar: string[], { connections, seconds }: Load): Promise<number> {
  const newest = jar.splice(0, connections)
  let next = 0
  const result = await autocannon({
    url: `${url}/refresh`,
    method: 'POST',
    headers: json,
    connections,
    duration: seconds,
    setupClient (client) {
      const mine = next++
      const send = () => client.setBody(JSON.stringify({ refresh_token: newest[mine] }))
      send()
      client.on('body', (body) => {
        newest[mine] = JSON.parse(String(body)).refresh_token
        send()
      })
    }
  })
  jar.push(...newest)
  return perSecond(result)
}

/** POST without a body; requests per second. */
export async function postLoad (url: string, { connections, seconds }: Load): Promise<number> {
  return perSecond(await autocannon({ url, method: 'POST', connections, duration: seconds }))
}

/** POST /login of one user from several connections; logins per second. */
export async function loginLoad (url: string, credentials: object, { connections, seconds }: Load): Promise<number> {
  return perSecond(await autocannon({
    url: `${url}/login`, method: 'POST', headers: json, body: JSON.stringify(credentials), connections, duration: seconds
  }))
}

function perSecond (result: autocannon.Result): number {
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx} answers were not 2xx, ${result.errors} failed`)
  return result['2xx'] / result.duration
}
