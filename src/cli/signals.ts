import type { IO } from '../prelude.ts'

export interface StopRequest {
  readonly requested: IO<boolean>
  /** As a shell reports a program that a signal ended. */
  readonly exitCode: IO<number>
  readonly dispose: IO<void>
}

const codes = { SIGINT: 130, SIGTERM: 143 } as const
type Signal = keyof typeof codes

/** npm hands on the signal that the terminal has sent to its child already; people need longer than this (ms). */
const echo = 1000

/** The first Ctrl-C asks for a clean stop, a later one ends the process at once. */
export const stopOnSignals = (tell: (line: string) => void): StopRequest => {
  const first: { at?: number; signal?: Signal } = {}
  const handle = (signal: Signal): void => {
    const now = performance.now()
    if (first.at === undefined) {
      first.at = now
      first.signal = signal
      tell('stopping behind a checkpoint; once more to stop at once')
    } else if (now - first.at > echo) process.exit(codes[signal])
  }
  process.on('SIGINT', handle)
  process.on('SIGTERM', handle)
  return {
    requested: () => first.at !== undefined,
    exitCode: () => codes[first.signal ?? 'SIGINT'],
    dispose: () => {
      process.off('SIGINT', handle)
      process.off('SIGTERM', handle)
    },
  }
}
