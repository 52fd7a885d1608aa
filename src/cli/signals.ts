import type { IO } from '../prelude.ts'

export interface StopRequest {
  readonly requested: IO<boolean>
  /** As a shell reports a program that a signal ended. */
  readonly exitCode: IO<number>
  readonly dispose: IO<void>
}

/** Of a person at the keyboard, of another program, of a terminal that closes. */
const codes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
type Signal = keyof typeof codes
const signals: readonly Signal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** npm hands on the signal that the terminal has sent to its child already; people need longer than this (ms). */
const echo = 1000

/** The first signal asks for a clean stop, a later one ends the process at once. */
export const stopOnSignals = (onStop: IO<void>): StopRequest => {
  const first: { at?: number; signal?: Signal } = {}
  const handle = (signal: Signal): void => {
    const now = performance.now()
    if (first.at === undefined) {
      first.at = now
      first.signal = signal
      onStop()
    } else if (now - first.at > echo) process.exit(codes[signal])
  }
  for (const signal of signals) process.on(signal, handle)
  return {
    requested: () => first.at !== undefined,
    exitCode: () => codes[first.signal ?? 'SIGINT'],
    dispose: () => {
      for (const signal of signals) process.off(signal, handle)
    },
  }
}
