/** One drawing at a time, and a bounded number of others that wait for it in their order. */

export interface Waiting {
  /** Ends the waiting, or the work. */
  readonly signal: AbortSignal
  /** Told of the place in the queue whenever it changes: 1 is next. */
  readonly onPlace: (place: number) => void
  readonly work: () => Promise<void>
}

export interface Queue {
  /** How many wait. */
  readonly waiting: () => number
  /** Resolves when the work is done or its signal has ended it; nothing where the queue is full. */
  readonly enter: (entry: Waiting) => Promise<void> | undefined
}

interface Entry extends Waiting {
  readonly settle: () => void
  readonly fail: (reason: unknown) => void
}

/** A queue in which so many can wait. */
export const queueOf = (most: number): Queue => {
  const waiting: Entry[] = []
  const state = { busy: false }
  const tell = (): void => {
    for (const [i, { onPlace }] of waiting.entries()) onPlace(i + 1)
  }
  const next = (): void => {
    const entry = waiting.shift()
    state.busy = entry !== undefined
    if (entry === undefined) return
    tell()
    const done = (): void => {
      entry.settle()
      next()
    }
    const work = entry.signal.aborted ? Promise.resolve() : entry.work()
    work.then(done, (reason) => {
      entry.fail(reason)
      next()
    })
  }
  const leave = (entry: Entry): void => {
    const at = waiting.indexOf(entry)
    if (at < 0) return
    waiting.splice(at, 1)
    entry.settle()
    tell()
  }
  return {
    waiting: () => waiting.length,
    enter: (given) => {
      if (state.busy && waiting.length >= most) return undefined
      return new Promise<void>((settle, fail) => {
        const entry: Entry = { ...given, settle, fail }
        waiting.push(entry)
        if (!state.busy) return next()
        given.signal.addEventListener('abort', () => leave(entry), { once: true })
        given.onPlace(waiting.length)
      })
    },
  }
}
