import { join, resolve } from 'node:path'
import { type Effect, effect } from '../error.ts'
import { only } from '../execute/carry.ts'
import type { Executor, Values } from '../execute/executor.ts'
import { autoencoderOf, type Experiment, type Training } from '../experiment/document.ts'
import { feedTypes, type Graph } from '../graph/graph.ts'
import type { Owned } from '../io/owner.ts'
import { pipe, TE } from '../prelude.ts'
import { checkpointsOf } from './checkpoints.ts'
import { note, type Sink } from './events.ts'
import { saysWhatFits } from './fitting.ts'
import { follow } from './follow.ts'
import { type Preview, train } from './loop.ts'
import { bestState, bestsOf } from './monitor.ts'
import type { OpenedStage } from './opening.ts'
import type { RunOptions } from './options.ts'
import type { StagePlan } from './plan.ts'
import { noiseFeeds } from './state.ts'
import { type HeldOut, measuring } from './validation.ts'

/** A stage to be trained: what it is trained on, and how it is shown. */
export interface StageRun {
  readonly opened: OpenedStage
  readonly training: Training
  /** Weights that never change, baked in. */
  readonly constants?: Values
  /** Weights that never change, held; those that the step's graph asks for are taken. */
  readonly frozen?: Values
  /** What parameters begin with, by name, where that is not drawn. */
  readonly begins?: Values
  readonly batch: (step: number, part: number) => Effect<Values>
  readonly preview: Preview
  /** Pictures that are not trained on. */
  readonly heldOut: Pick<HeldOut, 'n' | 'feeds' | 'pixels'>
}

/** The state before the first step, with what the first batch sets where anything is: `start` of a stage's plan. */
export const startingState = (
  executor: Executor,
  start: Graph | undefined,
  initial: Values,
  feeds: Values,
): Effect<Values> =>
  effect(async (run) => {
    if (start === undefined) return initial
    const executable = await run(executor.compile(start, { mode: 'training' }))
    try {
      const given = { ...initial, ...feeds }
      const wanted = Object.keys(feedTypes(start))
      const set = await run(
        executable.run(Object.fromEntries(Object.entries(given).filter(([name]) => wanted.includes(name)))),
      )
      return { ...initial, ...set }
    } finally {
      executable.dispose()
    }
  })

/** A rate that does not break numbers, where another did. */
const lower = (rate: number): number => Number(Math.min(rate / 10, 1e-3).toPrecision(3))

/** The settings that lower what a stage is trained with. */
const slower = (e: Experiment, name: StagePlan['name']): readonly string[] => {
  const [firstStage, diffusion] = [autoencoderOf(e), e.diffusion]
  const of = (pointer: string, rate: number): string => `${pointer}/rate=${lower(rate)}`
  if (name === 'diffusion')
    return diffusion === undefined ? [] : [of('/diffusion/training/learningRate', diffusion.training.learningRate.rate)]
  if (firstStage === undefined) return []
  const own = firstStage.adversarial?.learningRate
  return [
    of('/firstStage/training/learningRate', firstStage.training.learningRate.rate),
    ...(own === undefined ? [] : [of('/firstStage/adversarial/learningRate', own.rate)]),
  ]
}

/** What a run goes on with: the state that is kept as the best, or the last where there is none, as where a stage was imported. */
const bestOrLast = (dir: string, last: Values, tell: Sink): Effect<Values> =>
  effect(async (run) => {
    const [best] = await run(bestsOf(dir))
    const which =
      best === undefined
        ? 'no state is kept as the best; going on with the last'
        : `going on with the best state, that of step ${best.step}`
    await run(tell(note(`${dir}: ${which}`)))
    return best === undefined ? last : run(bestState(dir, last))
  })

/** Trains a stage from where it stands to its end; returns its last state. Errors: those of `train`. */
export const runStage = (
  e: Experiment,
  o: RunOptions & { readonly owned: Owned },
  { opened, training, constants = {}, frozen = {}, begins = {}, batch, preview, heldOut }: StageRun,
): Effect<Values> =>
  effect(async (run) => {
    const { stage, identity, standing, standingBelow, replan } = opened
    const { step, name } = stage
    const { tell } = o
    const wanted = [step.graph, stage.start].flatMap((graph) =>
      graph === undefined ? [] : Object.keys(feedTypes(graph)),
    )
    const feeds = (s: number, part: number): Effect<Values> =>
      pipe(
        batch(s, part),
        TE.map((given) => ({
          ...only(given, wanted),
          ...noiseFeeds(step.graph, e.seed, s, { from: part * training.batchSize, batch: training.batchSize }),
        })),
      )
    const initial: Effect<Values> = effect(async (go) =>
      go(startingState(o.executor, stage.start, step.initial(e.seed, begins), await go(feeds(0, 0)))),
    )
    const compile = o.executor.compile(step.graph, { mode: 'training', constants })
    if (o.follows !== undefined)
      return run(follow({ name, plan: step, compile, initial, frozen: only(frozen, wanted), feeds }, o.follows))
    const settings = slower(e, name)
    const { validate, batchSize, postHocEma } = training
    const measured =
      validate === undefined
        ? undefined
        : measuring(o.executor, {
            ...heldOut,
            constants,
            frozen,
            batch: batchSize,
            seed: e.seed,
            graph: stage.validation,
          })
    await run(tell({ kind: 'stage', stage: name, steps: training.steps, done: standing?.done ?? 0 }))
    const last = await train({
      name,
      plan: step,
      compile,
      steps: training.steps,
      checkpointEvery: training.checkpointEvery,
      logEvery: training.logEvery,
      previewEvery: training.previewEvery,
      dir: join(o.dir, name),
      identity,
      ...(standing === undefined ? {} : { standing }),
      standingBelow,
      initial,
      frozen: only(frozen, wanted),
      feeds,
      preview,
      ...(postHocEma === undefined ? {} : { postHocEma }),
      ...(validate === undefined || measured === undefined
        ? {}
        : {
            validation: {
              ...validate,
              measure: measured.measure,
            },
          }),
      stopping: o.stopping,
      held: o.owned.held,
      tell,
      ...(o.leads === undefined ? {} : { leads: o.leads }),
      wayOn: `resume with a lower learning rate: ${o.resumeCommand?.(settings) ?? settings.join(', ')}; or train into another folder`,
    })().finally(() => measured?.dispose())
    const state = await run(pipe(last, TE.fromEither, TE.mapLeft(saysWhatFits(e, { name, training, replan, step }))))
    await run(tell({ kind: 'stage-done', stage: name }))
    const dir = join(o.dir, name)
    const usesBest = validate?.monitor?.use === 'best'
    if (o.leads !== undefined) {
      const [best] = usesBest ? await run(bestsOf(dir)) : []
      const [last] = await run(checkpointsOf(dir))
      o.leads.say({ kind: 'stage-done', checkpoint: resolve(best?.path ?? last?.path ?? dir) })
    }
    return usesBest ? run(bestOrLast(dir, state, tell)) : state
  })
