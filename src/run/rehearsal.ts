import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Effect, effect } from '../error.ts'
import type { Experiment, FirstStage, Training } from '../experiment/document.ts'
import { inTemporaryFolder } from '../io/atomic.ts'
import { E, TE } from '../prelude.ts'
import { type Sink, type StageName, sinks } from '../train/events.ts'
import { isStop } from '../train/stop.ts'
import { inRunFolder } from './run-folder.ts'
import { type Trained, trainIn } from './train.ts'

/** A training in small: all that a run does, a few steps a stage, in a folder that is removed. */

const shortened = ({ validate, postHocEma, ...training }: Training): Training => ({
  ...training,
  ...{ steps: 2, logEvery: 1, previewEvery: 1, checkpointEvery: 1 },
  ...(validate === undefined ? {} : { validate: { ...validate, every: 1 } }),
  ...(postHocEma === undefined ? {} : { postHocEma: { ...postHocEma, every: 1 } }),
})
const shortStage = (stage: FirstStage): FirstStage => ({ ...stage, training: shortened(stage.training) })

/** The same experiment in two steps a stage, with one picture of a kind drawn. */
const inSmall = (e: Experiment): Experiment => ({
  ...e,
  firstStage: e.firstStage.kind === 'identity' ? e.firstStage : shortStage(e.firstStage),
  sampling: { ...e.sampling, perClass: 1 },
  ...(e.diffusion === undefined ? {} : { diffusion: { ...e.diffusion, training: shortened(e.diffusion.training) } }),
})

export interface Rehearsal {
  readonly tell: Sink
  /** Asked after each step: true ends the rehearsal. */
  readonly stopping: () => boolean
}

/**
 * Trains an experiment two steps a stage, each with all that is due behind a step, stops it behind its last stage's first, and goes on to
 * its end. Errors: those of a training; nothing is left behind then either.
 */
export const rehearsed = (e: Experiment, { tell, stopping }: Rehearsal): Effect<Trained> =>
  effect((run) =>
    inTemporaryFolder(join(tmpdir(), 'latentgraph-rehearsal'), async (folder) => {
      const dir = join(folder, 'run')
      const last: StageName = e.diffusion === undefined ? 'first-stage' : 'diffusion'
      const session = (resume: boolean): Effect<Trained> => {
        let reached = false
        const watch: Sink = (event) =>
          TE.fromIO(() => {
            reached ||= event.kind === 'step' && event.stage === last
          })
        return inRunFolder({ file: e.name, out: dir, resume }, (owned) =>
          trainIn({
            ...{ experiment: inSmall(e), owned, dir, resume, executor: e.executor },
            tell: sinks(watch, tell),
            stopping: () => stopping() || (!resume && reached),
          }),
        )
      }
      const first = await session(false)()
      const goesOn = E.isLeft(first) && isStop(first.left) && !stopping()
      return run(goesOn ? session(true) : TE.fromEither(first))
    }),
  )
