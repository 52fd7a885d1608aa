import { type Effect, effect } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { E, TE } from '../prelude.ts'
import { rehearsed } from '../run/rehearsal.ts'
import type { TrainingEvent } from '../train/events.ts'
import { showDuration } from '../train/progress.ts'
import { isStop } from '../train/stop.ts'
import { stopOnSignals } from './signals.ts'
import { exitCodes, type Outcome, type Terminal } from './terminal.ts'

type Of<K extends TrainingEvent['kind']> = Extract<TrainingEvent, { readonly kind: K }>

/** What is worth a line of all that is told. */
const lines: { readonly [K in TrainingEvent['kind']]?: (event: Of<K>) => string } = {
  run: ({ executor, resumed }) => (resumed ? 'going on where it was stopped' : `on ${executor}`),
  note: ({ text }) => text,
  step: ({ stage, step, metrics }) =>
    `${stage}: step ${step}, loss ${Number((metrics.loss ?? Number.NaN).toPrecision(4))}`,
  validation: ({ stage, step }) => `${stage}: validated after step ${step}`,
  checkpoint: ({ stage, step }) => `${stage}: saved after step ${step}`,
  preview: ({ stage, step }) => `${stage}: preview after step ${step}`,
  done: () => 'samples and report written',
}
const lineOf = <K extends TrainingEvent['kind']>(kind: K, event: Of<K>): string | undefined => lines[kind]?.(event)

/**
 * One step of each stage with validation, checkpoint and preview, a stop, and a second step after the run has gone on; then samples and
 * report. Errors: those of a training.
 */
export const dryRun = (e: Experiment, { out, err }: Terminal): Effect<Outcome> =>
  effect(async (run) => {
    const began = performance.now()
    const stop = stopOnSignals(() => err('stopping behind the step; once more to stop at once\n'))
    try {
      const tried = await rehearsed(e, {
        stopping: stop.requested,
        tell: (event) =>
          TE.fromIO(() => {
            const line = lineOf(event.kind, event)
            if (line !== undefined) err(`${line}\n`)
          }),
      })()
      if (E.isLeft(tried) && isStop(tried.left)) {
        err('stopped; nothing was kept\n')
        return stop.exitCode()
      }
      await run(TE.fromEither(tried))
      out(`all of it works, in ${showDuration((performance.now() - began) / 1000)}; nothing was kept\n`)
      return exitCodes.done
    } finally {
      stop.dispose()
    }
  })
