import { Agent, get } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

interface Pace {
  /** Requests per second. */
  rate: number
  seconds: number
}

/**
 * The 99th percentile (ms) of GET /private at a steady rate: each request has its time, and goes out then
 * whether or not those before it are answered, so that a server that stalls delays all who would have come meanwhile.
 */
export async function privateTail (url: string, tokens: string[], { rate, seconds }: Pace): Promise<number> {
  const agent = new Agent({ keepAlive: true })
  const start = performance.now()
  const answers: Promise<number>[] = []
  for (let i = 0; i < rate * seconds; i++) {
    const due = start + i * 1000 / rate
    // A timer is late by up to a millisecond or two; that is not the server's.
    if (performance.now() < due) await delay(due - performance.now())
    answers.push(latency(`${url}/private`, { agent, headers: { authorization: `Bearer ${tokens[i % tokens.length]}` } }))
  }
  const sorted = (await Promise.all(answers)).sort((a, b) => a - b)
  agent.destroy()
  return sorted[Math.floor(sorted.length * 0.99)] ?? NaN
}

function latency (url: string, options: { agent: Agent, headers: Record<string, string> }): Promise<number> {
  const asked = performance.now()
  return new Promise((resolve, reject) => {
    get(url, options, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${url}: ${response.statusCode}`))
      response.resume().on('end', () => resolve(performance.now() - asked))
    }).on('error', reject)
  })
}
