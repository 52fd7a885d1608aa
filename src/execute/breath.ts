/** How long (ms) work goes on before timers, signals and requests have a turn. */
const longest = 6

/** A turn of the event loop for all that waits, in Node as in a browser. */
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    const heard = (): void => {
      port1.close()
      resolve()
    }
    port1.addEventListener('message', heard)
    port1.start()
    port2.postMessage(undefined)
  })
/** Whether others have waited for long, and the turn of the event loop that they then have. */
const turns = (begun: number) => {
  let since = begun
  return {
    isDue: (): boolean => performance.now() - since >= longest,
    given: async (): Promise<void> => {
      await turn()
      since = performance.now()
    },
  }
}
/** Between two pieces of long work: waits for a turn of the event loop where it was kept for long. */
export const breathing = (): (() => Promise<void>) => {
  const { isDue, given } = turns(performance.now())
  return async () => {
    if (isDue()) await given()
  }
}

/** Work in pieces that others have turns between, first of all behind the first: who has it done may have kept them for long. */
export const inTurns = async <A>(work: Generator<void, A>): Promise<A> => {
  const { isDue, given } = turns(Number.NEGATIVE_INFINITY)
  for (;;) {
    const piece = work.next()
    if (piece.done === true) return piece.value
    if (isDue()) await given()
  }
}
/** The same work in one piece. */
export const atOnce = <A>(work: Generator<void, A>): A => {
  for (;;) {
    const piece = work.next()
    if (piece.done === true) return piece.value
  }
}
