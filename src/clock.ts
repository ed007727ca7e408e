/** A look at the server's clock is as good as its way there and back was short; the best of so many counts. */
const LOOKS = 3

/**
 * The clock of the service: the local one, set by the one that all replicas share, so that they agree whatever their own say.
 * @param serverTime undefined when there is no other process to agree with.
 */
export function createClock (local: () => number, serverTime: (() => Promise<number>) | undefined) {
  let offset = 0

  /** Compares the clocks. Half of the way is taken off: the server looked at its own on the way back. */
  async function adjust () {
    if (serverTime === undefined) return
    let shortest = Infinity
    let best = offset
    for (let look = 0; look < LOOKS; look++) {
      const sent = performance.now()
      const there = await serverTime()
      const way = performance.now() - sent
      if (way < shortest) [shortest, best] = [way, there + way / 2 - local()]
    }
    offset = best
  }

  return { now: () => Math.round(local() + offset), adjust }
}
