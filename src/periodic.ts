/**
 * Runs `job` every `period` ms, one run at a time, without keeping the process alive; a failed run is told to `failed` and the next one comes.
 * @returns a function that stops it, once a run under way has ended.
 */
export function every (period: number, job: () => Promise<void>, failed: (error: unknown) => void): () => Promise<void> {
  let run: Promise<void> | undefined
  const timer = setInterval(() => {
    run ??= job().catch(failed).finally(() => { run = undefined })
  }, period).unref()
  return async () => {
    clearInterval(timer)
    await run
  }
}
