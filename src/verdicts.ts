/** Who waits for a verdict on which counter. */
export function createVerdicts () {
  const waiting = new Map<string, Set<() => void>>()

  /** Resolves at the next verdict on `id` here, or after `longest` ms. */
  function next (id: string, longest: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        forget(id, wake)
        resolve()
      }
      const timer = setTimeout(wake, longest)
      waiting.set(id, (waiting.get(id) ?? new Set()).add(wake))
    })
  }

  function forget (id: string, wake: () => void) {
    const others = waiting.get(id)
    others?.delete(wake)
    if (others?.size === 0) waiting.delete(id)
  }

  function announce (id: string) {
    for (const wake of [...waiting.get(id) ?? []]) wake()
  }

  return { next, announce }
}
