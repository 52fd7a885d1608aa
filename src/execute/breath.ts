/** How long (ms) work goes on before timers, signals and requests have a turn. */
const longest = 6

/** Between two pieces of long work: waits for a turn of the event loop where it was kept for long. */
export const breathing = (): (() => Promise<void>) => {
  let since = performance.now()
  return async () => {
    if (performance.now() - since < longest) return
    await new Promise((resolve) => setImmediate(resolve))
    since = performance.now()
  }
}

/** Work in pieces that others have turns between. */
export const inTurns = async <A>(work: Generator<void, A>): Promise<A> => {
  const breath = breathing()
  for (;;) {
    const piece = work.next()
    if (piece.done === true) return piece.value
    await breath()
  }
}
/** The same work in one piece. */
export const atOnce = <A>(work: Generator<void, A>): A => {
  for (;;) {
    const piece = work.next()
    if (piece.done === true) return piece.value
  }
}
