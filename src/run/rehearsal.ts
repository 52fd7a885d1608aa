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

const shortened =
  (steps: number, every: number) =>
  ({ validate, postHocEma, ...training }: Training): Training => ({
    ...training,
    ...{ steps, logEvery: every, previewEvery: every, checkpointEvery: every },
    ...(validate === undefined ? {} : { validate: { ...validate, every } }),
    ...(postHocEma === undefined ? {} : { postHocEma: { ...postHocEma, every } }),
  })

/** The same experiment in so many steps a stage, looked at and saved every so many, with one picture of a kind drawn. */
export const inSmall = (e: Experiment, steps: number, every: number): Experiment => {
  const short = shortened(steps, every)
  const shortStage = (stage: FirstStage): FirstStage => ({ ...stage, training: short(stage.training) })
  return {
    ...e,
    firstStage: e.firstStage.kind === 'identity' ? e.firstStage : shortStage(e.firstStage),
    sampling: { ...e.sampling, perClass: 1 },
    ...(e.diffusion === undefined ? {} : { diffusion: { ...e.diffusion, training: short(e.diffusion.training) } }),
  }
}

const median = (numbers: readonly number[]): number => {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

/** Seconds between two steps of each stage; what comes before its first does not count. */
const paceOf = () => {
  const seconds: Record<StageName, number[]> = { 'first-stage': [], diffusion: [] }
  let last: { readonly stage: StageName; readonly at: number } | undefined
  const clock: Sink = (event) =>
    TE.fromIO(() => {
      if (event.kind !== 'step') return
      const at = performance.now()
      if (last?.stage === event.stage) seconds[event.stage].push((at - last.at) / 1000)
      last = { stage: event.stage, at }
    })
  const pace = (stage: StageName): number => median(seconds[stage])
  return { clock, pace }
}

export interface Rehearsal {
  /** Steps of each stage, two at least. */
  readonly steps: number
  /** After so many steps validation, checkpoint and preview are due. */
  readonly every: number
  /** Whether the run is stopped after its last stage's first step, and goes on. */
  readonly resumes: boolean
  readonly tell: Sink
  /** Asked after each step: true ends the rehearsal. */
  readonly stopping: () => boolean
}

/** What was seen of it. */
export interface Rehearsed {
  /** Seconds between two steps of a stage, their median; 0 where it has none. */
  readonly pace: (stage: StageName) => number
  readonly trained: Trained
}

/** Rehearses an experiment. Errors: those of a training; nothing is left behind then either. */
export const rehearsed = (e: Experiment, { steps, every, resumes, tell, stopping }: Rehearsal): Effect<Rehearsed> =>
  effect((run) =>
    inTemporaryFolder(join(tmpdir(), 'latentgraph-rehearsal'), async (folder) => {
      const dir = join(folder, 'run')
      const last: StageName = e.diffusion === undefined ? 'first-stage' : 'diffusion'
      const { clock, pace } = paceOf()
      const session = (resume: boolean): Effect<Trained> => {
        let reached = false
        const watch: Sink = (event) =>
          TE.fromIO(() => {
            reached ||= event.kind === 'step' && event.stage === last
          })
        return inRunFolder({ file: e.name, out: dir, resume }, (owned) =>
          trainIn({
            ...{ experiment: inSmall(e, steps, every), owned, dir, resume, executor: e.executor },
            tell: sinks(watch, clock, tell),
            stopping: () => stopping() || (resumes && !resume && reached),
          }),
        )
      }
      const first = await session(false)()
      const goesOn = E.isLeft(first) && isStop(first.left) && !stopping()
      return { pace, trained: await run(goesOn ? session(true) : TE.fromEither(first)) }
    }),
  )
