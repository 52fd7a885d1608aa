import { join } from 'node:path'
import { type Effect, effect } from '../error.ts'
import type { Executor, Values } from '../execute/executor.ts'
import type { Experiment, Training } from '../experiment/document.ts'
import { feedTypes, type Graph } from '../graph/graph.ts'
import { pipe, TE } from '../prelude.ts'
import { type Metrics, train } from './loop.ts'
import { type StagePlan, stageIdentity } from './plan.ts'
import { noiseFeeds } from './state.ts'

/** What a training run tells while it goes. */
export interface Listener {
  readonly onStage: (name: string, steps: number) => void
  readonly onStep: (stage: string, done: number, metrics: Metrics) => void
  readonly onStageDone: (name: string) => void
  readonly say: (line: string) => void
  /** True ends the run cleanly, behind a checkpoint. */
  readonly stopping: () => boolean
}

export interface RunOptions {
  /** Everything is written below this folder. */
  readonly dir: string
  readonly executor: Executor
  readonly resume: boolean
  readonly listener: Listener
}

/** What a stage is trained on, and how it is shown. */
export interface StageRun {
  readonly stage: StagePlan
  readonly training: Training
  /** Weights that never change. */
  readonly constants?: Values
  readonly batch: (step: number) => Effect<Values>
  readonly preview: (done: number, state: Values) => Effect<void>
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

export const runStage = (e: Experiment, o: RunOptions, { stage, training, constants = {}, batch, preview }: StageRun) =>
  effect(async (run) => {
    const { step } = stage
    o.listener.onStage(stage.name, training.steps)
    const executable = await run(o.executor.compile(step.graph, { mode: 'training', constants }))
    try {
      const feeds = (s: number): Effect<Values> =>
        pipe(
          batch(s),
          TE.map((given) => ({ ...given, ...noiseFeeds(step.graph, e.seed, s) })),
        )
      const result = await run(
        train({
          plan: step,
          executable,
          steps: training.steps,
          checkpointEvery: training.checkpointEvery,
          logEvery: training.logEvery,
          previewEvery: training.previewEvery,
          dir: join(o.dir, stage.name),
          identity: stageIdentity(stage, { seed: e.seed, steps: training.steps }),
          initial: await run(startingState(o.executor, stage.start, step.initial(e.seed), await run(feeds(0)))),
          feeds,
          resume: o.resume,
          onStep: (done, metrics) => o.listener.onStep(stage.name, done, metrics),
          preview,
          stopping: o.listener.stopping,
        }),
      )
      o.listener.onStageDone(stage.name)
      return result
    } finally {
      executable.dispose()
    }
  })
