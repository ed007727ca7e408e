import bcrypt from 'bcryptjs'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

interface Work {
  threads: number
  cost: number
  seconds: number
}

/** Comparisons per second that bcryptjs reaches in so many worker threads, with nothing around it. */
export async function bcryptAlone ({ threads, cost, seconds }: Work): Promise<number> {
  const hash = bcrypt.hashSync('bench', cost)
  const workers = Array.from({ length: threads }, () => new Worker(fileURLToPath(import.meta.url), { workerData: { hash, seconds } }))
  const rates = await Promise.all(workers.map((worker) => new Promise<number>((resolve, reject) => {
    worker.once('message', resolve).once('error', reject)
  })))
  return rates.reduce((sum, rate) => sum + rate, 0)
}

if (!isMainThread) {
  // Given by bcryptAlone above.
  const { hash, seconds } = workerData as { hash: string, seconds: number }
  const start = performance.now()
  let done = 0
  while (performance.now() - start < seconds * 1000) {
    bcrypt.compareSync('wrong', hash)
    done += 1
  }
  parentPort?.postMessage(done / ((performance.now() - start) / 1000))
}
