import { existsSync } from 'node:fs'
import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect, failure } from '../error.ts'
import { omit } from '../execute/carry.ts'
import type { Executable, Stepper, Value, Values } from '../execute/executor.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { fileEffect } from '../io/bytes.ts'
import { type Json, saveCheckpoint } from '../io/checkpoint.ts'
import { TE } from '../prelude.ts'
import {
  checkpointPath,
  checkpointsOf,
  type Found,
  notFinite,
  passedOver,
  type Standing,
  tidyCheckpoints,
} from './checkpoints.ts'
import { grouped } from './state.ts'
import type { StepPlan } from './step.ts'
import { stopped } from './stop.ts'

/** Numbers of one step, as a line of `metrics.jsonl`. */
export type Metrics = Readonly<Record<string, number>>

export interface Preview {
  readonly files: (done: number) => readonly string[]
  readonly draw: (done: number, state: Values) => Effect<void>
}

export interface Loop {
  readonly name: string
  readonly plan: StepPlan
  readonly compile: Effect<Executable>
  readonly steps: number
  readonly checkpointEvery: number
  /** Metrics reach the file at least this often. */
  readonly logEvery: number
  readonly previewEvery: number
  /** Of this stage: `metrics.jsonl`, `checkpoints/`. */
  readonly dir: string
  /** Facts that a resumed run must share; written in every checkpoint. */
  readonly identity: Readonly<Record<string, Json>>
  /** Where training goes on; absent: at its beginning. */
  readonly standing?: Standing
  /** The newest place to go on from before so many steps. */
  readonly standingBelow: (done: number) => Effect<Found>
  /** The state before the first step. */
  readonly initial: Effect<Values>
  /** What a part of a step is fed beside the scalars of the plan: made while the part before it runs. */
  readonly feeds: (step: number, part: number) => Effect<Values>
  readonly onStep: (done: number, metrics: Metrics) => void
  readonly preview: Preview
  /** Asked after each step: true ends the run, behind a checkpoint. */
  readonly stopping: () => boolean
  /** Errors where the run's folder is no longer there, or no longer ours; asked after each step. */
  readonly held: Effect<void>
  readonly say: (line: string) => void
  /** How to go on where numbers are no longer finite, with a lower rate. */
  readonly wayOn: string
}

const scalar = (v: Value): number => v.data[0] ?? Number.NaN
const metricsOf = (outputs: Values): Metrics =>
  Object.fromEntries(Object.entries(outputs).flatMap(([name, v]) => (v.data.length === 1 ? [[name, scalar(v)]] : [])))

const stepOf = (line: string): number | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && 'step' in value ? Number(value.step) : undefined
  } catch {
    return undefined
  }
}

/** Drops the lines of steps that a resumed run will do again. */
const trimMetrics = ({ dir, say }: Loop, done: number): Effect<void> =>
  effect(async (run) => {
    const path = join(dir, 'metrics.jsonl')
    const lines = done === 0 ? [] : (await readFile(path, 'utf8').catch(() => '')).split('\n').slice(0, done)
    const good = lines.findIndex((line, i) => stepOf(line) !== i + 1)
    const left = good === -1 ? lines : lines.slice(0, good)
    if (left.length < done) say(`${path}: steps ${left.length + 1} to ${done} are missing`)
    await run(writeFileAtomic(path, new TextEncoder().encode(left.map((l) => `${l}\n`).join(''))))
  })

/** Lets signals and timers in between two steps, which block. */
const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** How a training that is not stopped comes to an end. */
type Ending =
  | { readonly kind: 'finished'; readonly state: Values }
  /** Numbers are no longer finite: what a step has computed, or what it has left. */
  | ({ readonly kind: 'diverged'; readonly by: 'metrics' | 'state'; readonly step: number } & Broken)

interface Broken {
  readonly what: string
  readonly got: string
}
const brokenMetric = (metrics: Metrics): Broken | undefined =>
  Object.entries(metrics).flatMap(([what, x]) => (Number.isFinite(x) ? [] : [{ what, got: String(x) }]))[0]
const brokenArray = (state: Values): Broken | undefined => {
  const what = notFinite(state)
  return what === undefined ? undefined : { what, got: 'other numbers' }
}

const isPreviewDue = ({ steps, previewEvery }: Loop, done: number): boolean =>
  done === steps || done % previewEvery === 0

const advance = (loop: Loop, stepper: Stepper, from: number): Effect<Ending> =>
  effect(async (run) => {
    const path = join(loop.dir, 'metrics.jsonl')
    const pending: string[] = []
    const flush = (sync: boolean): Promise<void> =>
      run(
        fileEffect(path, 'a file that can be written', () =>
          appendFile(path, pending.splice(0).join(''), { flush: sync }),
        ),
      )
    const save = async (done: number, state: Values): Promise<void> => {
      await flush(true)
      const groups = grouped(state)
      await run(saveCheckpoint(checkpointPath(loop.dir, done), { step: done, groups, meta: loop.identity }))
      await run(tidyCheckpoints(loop.dir, { every: loop.checkpointEvery, steps: loop.steps, done }))
    }
    const diverged = async (by: 'metrics' | 'state', step: number, broken: Broken): Promise<Ending> => {
      await flush(false)
      return { kind: 'diverged', by, step, ...broken }
    }
    const { hostFeeds, parts } = loop.plan
    let coming = loop.feeds(from, 0)()
    /** What the last part says, which is of the whole step. */
    const stepped = async (step: number): Promise<Metrics> => {
      let outputs: Values = {}
      for (let part = 0; part < parts; part++) {
        const feeds = await run(() => coming)
        const stepping = stepper.step({ ...hostFeeds(step, part), ...feeds })()
        coming = part + 1 < parts ? loop.feeds(step, part + 1)() : loop.feeds(step + 1, 0)()
        outputs = await run(() => stepping)
      }
      return metricsOf(outputs)
    }
    for (let done = from + 1; ; done++) {
      const metrics = await stepped(done - 1)
      await run(loop.held)
      const broken = brokenMetric(metrics)
      if (broken !== undefined) return diverged('metrics', done, broken)
      pending.push(`${JSON.stringify({ step: done, ...metrics })}\n`)
      loop.onStep(done, metrics)
      const stopping = loop.stopping()
      const last = done === loop.steps
      const [saves, previews] = [last || stopping || done % loop.checkpointEvery === 0, isPreviewDue(loop, done)]
      if (saves || done % loop.logEvery === 0) await flush(false)
      if (saves || previews) {
        const state = omit(await run(stepper.read), Object.keys(loop.plan.passing))
        // The last state is tried by one step more, whose outcome nobody keeps; others are by the step that follows.
        const left = brokenArray(state) ?? (last ? brokenMetric(await stepped(done)) : undefined)
        if (left !== undefined) return diverged('state', done, left)
        if (saves) await save(done, state)
        if (stopping && !last) return run(TE.left([stopped()]))
        if (previews) await run(loop.preview.draw(done, state))
        if (last) return { kind: 'finished', state }
      }
      await breathe()
    }
  })

type Divergence = Extract<Ending, { kind: 'diverged' }>

const showDivergence = ({ by, step, what }: Divergence): string =>
  by === 'metrics' ? `a finite ${what} at step ${step}` : `a finite ${what} after step ${step}`

const divergence = (loop: Loop, ended: Divergence): Effect<never> =>
  effect(async (run) => {
    const [newest] = await run(checkpointsOf(loop.dir))
    const kept = newest === undefined ? 'there is no checkpoint yet' : `the checkpoint of step ${newest.step} is kept`
    const hint =
      ended.by === 'metrics' && ended.step === 1
        ? 'no learning rate changes what the first step computes: look at the pictures, and at the weights of the loss'
        : `${kept}; ${loop.wayOn}`
    return run(TE.left([failure('training', loop.name, showDivergence(ended), ended.got, hint)]))
  })

/** Numbers that break so few steps after a checkpoint were on their way when it was written. */
const near = 10

/** Trains from where the loop stands; from before that where numbers break again so soon that no rate can help. */
const fromStanding = (loop: Loop, executable: Executable, standing: Standing | undefined): Effect<Values> =>
  effect(async (run) => {
    const from = standing?.done ?? 0
    await run(trimMetrics(loop, from))
    const { carry, passing } = loop.plan
    const stepper = await run(
      executable.start(carry, { ...passing, ...(standing?.state ?? (await run(loop.initial))) }),
    )
    const ending = await advance(loop, stepper, from)().finally(() => stepper.dispose())
    const ended = await run(TE.fromEither(ending))
    if (ended.kind === 'finished') return ended.state
    if (from === 0 || ended.step - from > near) return run(divergence(loop, ended))
    const { standing: earlier, passed } = await run(loop.standingBelow(from))
    const why = failure('training', checkpointPath(loop.dir, from), showDivergence(ended), ended.got)
    loop.say(passedOver([why, ...passed], earlier))
    return run(fromStanding(loop, executable, earlier))
  })

/**
 * Runs a step graph over and over, keeping its state on the device; returns the last state. Checkpoints hold all of the state and
 * batches and noise are functions of the step, so a resumed run equals one that never stopped, bit for bit. Errors: `stopped`,
 * behind a checkpoint; `training`, numbers that are no longer finite, which no checkpoint holds; `file`, a folder that is gone.
 */
export const train = (loop: Loop): Effect<Values> =>
  effect(async (run) => {
    const { standing, dir, steps } = loop
    await run(fileEffect(dir, 'a folder that can be made', () => mkdir(join(dir, 'checkpoints'), { recursive: true })))
    if (standing !== undefined && standing.done > 0 && isPreviewDue(loop, standing.done))
      if (!loop.preview.files(standing.done).every((file) => existsSync(file)))
        await run(loop.preview.draw(standing.done, standing.state))
    if (standing?.done === steps) {
      await run(tidyCheckpoints(dir, { every: loop.checkpointEvery, steps, done: steps }))
      return standing.state
    }
    const executable = await run(loop.compile)
    try {
      return await run(fromStanding(loop, executable, standing))
    } finally {
      executable.dispose()
    }
  })
