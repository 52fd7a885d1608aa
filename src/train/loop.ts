import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect, fail, failure } from '../error.ts'
import type { Executable, Stepper, Value, Values } from '../execute/executor.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { fileEffect } from '../io/bytes.ts'
import { type Json, latestCheckpoint, loadCheckpoint, saveCheckpoint } from '../io/checkpoint.ts'
import { O, TE } from '../prelude.ts'
import { checkpointPath, keepLatest } from './checkpoints.ts'
import { grouped, loadedState } from './state.ts'
import type { StepPlan } from './step.ts'

/** Numbers of one step, as a line of `metrics.jsonl`. */
export type Metrics = Readonly<Record<string, number>>

export interface Loop {
  readonly plan: StepPlan
  readonly executable: Executable
  readonly steps: number
  readonly checkpointEvery: number
  /** Metrics reach the file at least this often. */
  readonly logEvery: number
  readonly previewEvery: number
  /** Of this stage: `metrics.jsonl`, `checkpoints/`. */
  readonly dir: string
  /** Facts that a resumed run must share; written in every checkpoint. */
  readonly identity: Readonly<Record<string, Json>>
  readonly initial: Values
  /** What a step is fed beside the scalars of the plan: made while the step before it runs. */
  readonly feeds: (step: number) => Effect<Values>
  readonly resume: boolean
  readonly onStep: (done: number, metrics: Metrics) => void
  readonly preview: (done: number, state: Values) => Effect<void>
  /** Asked after each step: true ends the run cleanly, behind a checkpoint. */
  readonly stopping: () => boolean
}

export interface Trained {
  readonly state: Values
  readonly done: number
  readonly finished: boolean
}

const scalar = (v: Value): number => v.data[0] ?? Number.NaN
const metricsOf = (outputs: Values): Metrics =>
  Object.fromEntries(Object.entries(outputs).flatMap(([name, v]) => (v.data.length === 1 ? [[name, scalar(v)]] : [])))

/** Where training begins: the newest checkpoint of the same run when resuming, else the initial state. */
const beginning = ({
  resume,
  dir,
  identity,
  initial,
}: Loop): Effect<{ readonly done: number; readonly state: Values }> =>
  effect(async (run) => {
    const found = resume ? await run(latestCheckpoint(join(dir, 'checkpoints'))) : O.none
    if (O.isNone(found)) return { done: 0, state: initial }
    const { step, groups, meta } = await run(loadCheckpoint(found.value))
    const changed = Object.entries(identity).find(([k, v]) => JSON.stringify(meta[k]) !== JSON.stringify(v))
    if (changed !== undefined)
      return run(
        TE.left([
          failure(
            'training',
            found.value,
            `a checkpoint with ${changed[0]} ${JSON.stringify(changed[1])}`,
            JSON.stringify(meta[changed[0]]),
            'the experiment changed since: train it into another folder, or without --resume',
          ),
        ]),
      )
    const state = await run(TE.fromEither(loadedState(found.value, groups, initial)))
    return { done: step, state }
  })

/** Drops the lines of steps that a resumed run will do again. */
const trimMetrics = (path: string, done: number): Effect<void> =>
  effect(async (run) => {
    const lines = done === 0 ? [] : (await readFile(path, 'utf8').catch(() => '')).split('\n').slice(0, done)
    await run(writeFileAtomic(path, new TextEncoder().encode(lines.map((l) => `${l}\n`).join(''))))
  })

const notFinite = (metrics: Metrics): string | undefined =>
  Object.keys(metrics).find((k) => !Number.isFinite(metrics[k]))

/** Lets signals and timers in between two steps, which block. */
const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const advance = (loop: Loop, stepper: Stepper, from: number): Effect<{ readonly done: number }> =>
  effect(async (run) => {
    const metricsPath = join(loop.dir, 'metrics.jsonl')
    const pending: string[] = []
    const flush = async (): Promise<void> => {
      if (pending.length > 0)
        await run(
          fileEffect(metricsPath, 'a file that can be written', () =>
            appendFile(metricsPath, pending.splice(0).join('')),
          ),
        )
    }
    const save = async (done: number): Promise<void> => {
      await flush()
      const groups = grouped(await run(stepper.read))
      await run(saveCheckpoint(checkpointPath(loop.dir, done), { step: done, groups, meta: loop.identity }))
      await run(keepLatest(loop.dir, 2))
    }
    let coming = loop.feeds(from)()
    for (let step = from; step < loop.steps; step++) {
      const feeds = await run(() => coming)
      if (step + 1 < loop.steps) coming = loop.feeds(step + 1)()
      const metrics = metricsOf(await run(stepper.step({ ...loop.plan.hostFeeds(step), ...feeds })))
      const broken = notFinite(metrics)
      if (broken !== undefined) {
        await flush()
        return run(
          TE.fromEither(
            fail(
              'training',
              `step ${step + 1}`,
              `a finite ${broken}`,
              String(metrics[broken]),
              'lower the learning rate, or set clipNorm; the last checkpoint is kept',
            ),
          ),
        )
      }
      pending.push(`${JSON.stringify({ step: step + 1, ...metrics })}\n`)
      const done = step + 1
      loop.onStep(done, metrics)
      const last = done === loop.steps || loop.stopping()
      if (done % loop.logEvery === 0) await flush()
      if (last || done % loop.checkpointEvery === 0) await save(done)
      if (last || done % loop.previewEvery === 0) await run(loop.preview(done, await run(stepper.read)))
      if (last) return { done }
      await breathe()
    }
    return { done: from }
  })

/**
 * Runs a step graph over and over, keeping its state on the device. Checkpoints hold all of the state and batches
 * and noise are functions of the step, so a resumed run equals one that never stopped, bit for bit.
 */
export const train = (loop: Loop): Effect<Trained> =>
  effect(async (run) => {
    await run(
      fileEffect(loop.dir, 'a folder that can be made', () =>
        mkdir(join(loop.dir, 'checkpoints'), { recursive: true }),
      ),
    )
    const { done: from, state } = await run(beginning(loop))
    await run(trimMetrics(join(loop.dir, 'metrics.jsonl'), from))
    const stepper = await run(loop.executable.start(loop.plan.carry, state))
    try {
      const { done } = await run(advance(loop, stepper, from))
      return { state: await run(stepper.read), done, finished: done === loop.steps }
    } finally {
      stepper.dispose()
    }
  })
