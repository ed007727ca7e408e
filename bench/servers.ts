import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

interface Server {
  url: string
  /** From the spawn to the first 200 of /livez, in ms. */
  startedIn: number
  /** Resident memory now, in MB. */
  memory: () => number
  stop: () => Promise<void>
}

/** Starts a built module as a process of its own; its log goes nowhere, as a collector would take it. */
export async function startServer (module: string, { port, env = {} }: { port: number, env?: NodeJS.ProcessEnv }): Promise<Server> {
  const path = fileURLToPath(new URL(`../${module}`, import.meta.url))
  const start = performance.now()
  const child = spawn(process.execPath, [path], { env: { ...process.env, ...env, PORT: String(port) }, stdio: ['ignore', 'ignore', 'inherit'] })
  process.on('exit', () => child.kill('SIGKILL'))
  const url = `http://127.0.0.1:${port}`
  await firstAnswer(`${url}/livez`, child)
  return {
    url,
    startedIn: performance.now() - start,
    memory: () => residentMegabytes(child),
    stop: async () => {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
  }
}

async function firstAnswer (url: string, child: ChildProcess) {
  while (child.exitCode === null) {
    const response = await fetch(url).catch(() => undefined)
    if (response?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`the server at ${url} ended before it answered`)
}

function residentMegabytes ({ pid }: ChildProcess): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
}
