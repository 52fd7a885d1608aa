import { existsSync } from 'node:fs'
import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Effect, effect, failure } from '../error.ts'
import { omit } from '../execute/carry.ts'
import type { Executable, Stepper, Value, Values } from '../execute/executor.ts'
import type { PostHocEma } from '../experiment/post-hoc-ema.ts'
import { type Monitor, validated } from '../experiment/validation.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { fileEffect } from '../io/bytes.ts'
import { type Json, saveCheckpoint } from '../io/checkpoint.ts'
import { E, TE } from '../prelude.ts'
import {
  checkpointPath,
  checkpointsOf,
  type Found,
  notFinite,
  passedOver,
  type Standing,
  tidyCheckpoints,
} from './checkpoints.ts'
import { type Metrics, note, type Sink, type StageName } from './events.ts'
import { bestOf, bestPath, bestsAsOf, exhausted, type Measured, tidyBests } from './monitor.ts'
import { digest } from './opening.ts'
import type { Leader } from './ranks.ts'
import { hasSnapshot, saveSnapshot, tidySnapshots } from './snapshots.ts'
import { grouped } from './state.ts'
import type { StepPlan } from './step.ts'
import { type Feeds, stepsAhead } from './steps-ahead.ts'
import { isStop, stopped } from './stop.ts'

export interface Preview {
  readonly files: (done: number) => readonly string[]
  readonly draw: (done: number, state: Values) => Effect<void>
}

/** What held-out pictures are asked. */
export interface LoopValidation {
  readonly every: number
  readonly monitor?: Monitor
  /** Of a state: `val/loss`. */
  readonly measure: (state: Values) => Effect<Metrics>
}

export interface Loop {
  readonly name: StageName
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
  /** Weights that are not trained: held, and in no checkpoint. */
  readonly frozen?: Values
  readonly feeds: Feeds
  readonly preview: Preview
  readonly validation?: LoopValidation
  /** Averages that are stored as training goes. */
  readonly postHocEma?: PostHocEma
  /** Asked after each step: true ends the run, behind a checkpoint. */
  readonly stopping: () => boolean
  /** Errors where the run's folder is no longer there, or no longer ours; asked after each step. */
  readonly held: Effect<void>
  readonly tell: Sink
  /** Where other processes step too. */
  readonly leads?: Leader
  /** How to go on where numbers are no longer finite, with a lower rate. */
  readonly wayOn: string
}

const scalar = (v: Value): number => v.data[0] ?? Number.NaN
const metricsOf = (outputs: Values): Metrics =>
  Object.fromEntries(Object.entries(outputs).flatMap(([name, v]) => (v.data.length === 1 ? [[name, scalar(v)]] : [])))

type Line = Metrics & { readonly step: number }
const isLine = (u: unknown): u is Line =>
  typeof u === 'object' && u !== null && 'step' in u && Object.values(u).every((x) => typeof x === 'number')
const lineOf = (text: string): Line | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return isLine(value) ? value : undefined
  } catch {
    return undefined
  }
}
const textOf = (line: Line): string => `${JSON.stringify(line)}\n`

/** Drops the lines of steps that a resumed run will do again; returns the others. */
const trimMetrics = ({ dir, tell }: Loop, done: number): Effect<readonly Line[]> =>
  effect(async (run) => {
    const path = join(dir, 'metrics.jsonl')
    const lines = done === 0 ? [] : (await readFile(path, 'utf8').catch(() => '')).split('\n').slice(0, done)
    const read = lines.map(lineOf)
    const good = read.findIndex((line, i) => line?.step !== i + 1)
    const left = good === -1 ? lines : lines.slice(0, good)
    if (left.length < done) await run(tell(note(`${path}: steps ${left.length + 1} to ${done} are missing`)))
    await run(writeFileAtomic(path, new TextEncoder().encode(left.map((l) => `${l}\n`).join(''))))
    return read.slice(0, left.length).flatMap((line) => line ?? [])
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

const isValidationDue = ({ steps, validation }: Loop, done: number): boolean =>
  validation !== undefined && (done === steps || done % validation.every === 0)

const isSnapshotDue = ({ postHocEma }: Loop, done: number): boolean =>
  postHocEma !== undefined && done % postHocEma.every === 0

/** The monitored metric among what was measured so far. */
const remembered = ({ validation }: Loop, lines: readonly Line[]): readonly Measured[] =>
  lines.flatMap((line) => {
    const value = line[validation?.monitor?.metric ?? '']
    return value === undefined ? [] : [{ step: line.step, value }]
  })

const keep = (loop: Loop, path: string, done: number, state: Values): Effect<void> =>
  saveCheckpoint(path, { step: done, groups: grouped(state), meta: loop.identity })

/** Removes the states that a stage which has `done` steps, and `ends` with them, needs no longer. */
const tidy = (loop: Loop, done: number, history: readonly Measured[], ends: boolean): Effect<void> =>
  effect(async (run) => {
    const { dir, steps, checkpointEvery, validation } = loop
    await run(tidyCheckpoints(dir, { every: checkpointEvery, steps: ends ? done : steps, done }))
    if (loop.postHocEma !== undefined)
      await run(tidySnapshots(dir, (step) => isSnapshotDue(loop, step) || (ends && step === done)))
    if (validation?.monitor === undefined) return
    const kept = ends ? [] : (await run(checkpointsOf(dir))).map(({ step }) => step)
    const needed = bestsAsOf(validation.monitor, history, [done, ...kept])
    await run(tidyBests(dir, (step) => needed.includes(step)))
  })

const endedEarly = ({ name, steps, validation }: Loop, done: number, history: readonly Measured[]): string => {
  const { monitor } = validation ?? {}
  const best = monitor === undefined ? undefined : bestOf(monitor, history)
  const times = monitor?.patience === 1 ? '1 validation' : `${monitor?.patience} validations`
  return `${name}: ended early, after ${done} of ${steps} steps: ${monitor?.metric} was not better than ${best?.value} of step ${best?.step} in ${times}`
}

/** Tells what was measured, and keeps the state where it is the best so far. */
const judged = (loop: Loop, standing: Standing, measured: Metrics, history: readonly Measured[]): Effect<void> =>
  effect(async (run) => {
    const monitor = loop.validation?.monitor
    const isBest = monitor !== undefined && bestOf(monitor, history)?.step === standing.done
    if (isBest) await run(keep(loop, bestPath(loop.dir, standing.done), standing.done, standing.state))
    if (Object.keys(measured).length > 0)
      await run(loop.tell({ kind: 'validation', stage: loop.name, step: standing.done, metrics: measured, isBest }))
  })

/**
 * Makes the files of a stage those of a run that stands here, a validation included that a stop has cut off; returns what was measured
 * so far.
 */
const takeUp = (loop: Loop, standing: Standing | undefined): Effect<readonly Measured[]> =>
  effect(async (run) => {
    const { dir, validation } = loop
    const done = standing?.done ?? 0
    const lines = await run(trimMetrics(loop, done))
    await run(tidySnapshots(dir, (step) => step <= done))
    if (validation === undefined) return []
    await run(tidyBests(dir, (step) => step <= done))
    const last = lines.at(-1)
    const isMissing =
      last?.step === done &&
      isValidationDue(loop, done) &&
      !Object.keys(last).some((name) => name.startsWith(validated('')))
    if (standing === undefined || !isMissing) return remembered(loop, lines)
    const measured = await run(validation.measure(standing.state))
    const all = [...lines.slice(0, -1), { ...last, ...measured }]
    const history = remembered(loop, all)
    await run(judged(loop, standing, measured, history))
    await run(writeFileAtomic(join(dir, 'metrics.jsonl'), new TextEncoder().encode(all.map(textOf).join(''))))
    return history
  })

const shown = (loop: Loop, done: number, state: Values): Effect<void> =>
  effect(async (run) => {
    await run(loop.preview.draw(done, state))
    await run(loop.tell({ kind: 'preview', stage: loop.name, step: done, files: loop.preview.files(done) }))
  })

const advance = (loop: Loop, stepper: Stepper, from: number, before: readonly Measured[]): Effect<Ending> =>
  effect(async (run) => {
    const path = join(loop.dir, 'metrics.jsonl')
    const monitor = loop.validation?.monitor
    const pending: string[] = []
    let history = before
    const flush = (sync: boolean): Promise<void> =>
      run(
        fileEffect(path, 'a file that can be written', () =>
          appendFile(path, pending.splice(0).join(''), { flush: sync }),
        ),
      )
    const save = async (done: number, state: Values, ends: boolean): Promise<void> => {
      await flush(true)
      const saved = checkpointPath(loop.dir, done)
      await run(keep(loop, saved, done, state))
      await run(tidy(loop, done, history, ends))
      await run(loop.tell({ kind: 'checkpoint', stage: loop.name, step: done, path: saved }))
    }
    /** Undefined: a stop came first. */
    const measure = async (done: number, state: Values): Promise<Metrics | undefined> => {
      if (loop.validation === undefined || !isValidationDue(loop, done)) return {}
      const measured = await loop.validation.measure(state)()
      await run(loop.held)
      return E.isLeft(measured) && isStop(measured.left) ? undefined : run(TE.fromEither(measured))
    }
    const diverged = async (by: 'metrics' | 'state', step: number, broken: Broken): Promise<Ending> => {
      await flush(false)
      return { kind: 'diverged', by, step, ...broken }
    }
    const take = stepsAhead(loop.plan, stepper, loop.feeds)
    const stepped = async (step: number): Promise<Metrics> => {
      loop.leads?.say({ kind: 'step', step })
      return metricsOf(await run(take(step)))
    }
    for (let done = from + 1; ; done++) {
      const metrics = await stepped(done - 1)
      await run(loop.held)
      const broken = brokenMetric(metrics)
      if (broken !== undefined) return diverged('metrics', done, broken)
      await run(loop.tell({ kind: 'step', stage: loop.name, step: done, metrics }))
      const stopping = loop.stopping()
      const last = done === loop.steps
      const [saves, previews] = [last || stopping || done % loop.checkpointEvery === 0, isPreviewDue(loop, done)]
      const looks = saves || previews || isValidationDue(loop, done) || isSnapshotDue(loop, done)
      const state = looks ? omit(await run(stepper.read), Object.keys(loop.plan.passing)) : {}
      const array = brokenArray(state)
      const measured = array === undefined ? await measure(done, state) : {}
      const line = { step: done, ...metrics, ...measured }
      pending.push(textOf(line))
      if (saves || done % loop.logEvery === 0) await flush(false)
      if (looks) {
        const known = [...history, ...remembered(loop, [line])]
        const ends = last || exhausted(monitor, known)
        // The last state is tried by one step more, whose outcome nobody keeps; others are by the step that follows.
        const left = array ?? brokenMetric(measured ?? {}) ?? (ends ? brokenMetric(await stepped(done)) : undefined)
        if (left !== undefined) return diverged('state', done, left)
        history = known
        if (loop.postHocEma !== undefined && (ends || isSnapshotDue(loop, done)))
          await run(saveSnapshot(loop.dir, loop.postHocEma, done, state, loop.identity))
        await run(judged(loop, { done, state }, measured ?? {}, history))
        if (saves || ends || measured === undefined) await save(done, state, ends)
        if (measured === undefined || (stopping && !ends)) return run(TE.left([stopped()]))
        if (previews || ends) await run(shown(loop, done, state))
        if (ends && !last) await run(loop.tell(note(endedEarly(loop, done, history))))
        if (ends) return { kind: 'finished', state }
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

/** Has the others begin with the same state, and waits until they can. */
const led = ({ name, dir }: Loop, leads: Leader, standing: Standing | undefined, state: Values): Effect<void> =>
  effect(async (run) => {
    const checkpoint = standing === undefined ? {} : { checkpoint: resolve(checkpointPath(dir, standing.done)) }
    leads.say({ kind: 'start', ...checkpoint })
    leads.same(`the state of ${name}`, digest(state) ?? '')
    await run(leads.together)
  })

/** Trains from where the loop stands; from before that where numbers break again so soon that no rate can help. */
const fromStanding = (
  loop: Loop,
  executable: Executable,
  standing: Standing | undefined,
  history: readonly Measured[],
): Effect<Values> =>
  effect(async (run) => {
    const from = standing?.done ?? 0
    const { carry, passing } = loop.plan
    const state = standing?.state ?? (await run(loop.initial))
    if (loop.leads !== undefined) await run(led(loop, loop.leads, standing, state))
    const stepper = await run(executable.start(carry, { ...loop.frozen, ...passing, ...state }))
    const ending = await advance(loop, stepper, from, history)().finally(() => stepper.dispose())
    const ended = await run(TE.fromEither(ending))
    if (ended.kind === 'finished') return ended.state
    if (from === 0 || ended.step - from > near) return run(divergence(loop, ended))
    const { standing: earlier, passed } = await run(loop.standingBelow(from))
    const why = failure('training', checkpointPath(loop.dir, from), showDivergence(ended), ended.got)
    await run(loop.tell(note(passedOver([why, ...passed], earlier))))
    await run(loop.tell({ kind: 'rewound', stage: loop.name, step: earlier?.done ?? 0 }))
    return run(fromStanding(loop, executable, earlier, await run(takeUp(loop, earlier))))
  })

/**
 * Runs a step graph over and over, keeping its state on the device; returns the last state. Checkpoints hold all of the state and
 * batches and noise are functions of the step, so a resumed run equals one that never stopped, bit for bit. Errors: `stopped`,
 * behind a checkpoint; `training`, numbers that are no longer finite, which no checkpoint holds; `file`, a folder that is gone.
 */
export const train = (loop: Loop): Effect<Values> =>
  effect(async (run) => {
    const { standing, dir, steps, validation } = loop
    await run(fileEffect(dir, 'a folder that can be made', () => mkdir(join(dir, 'checkpoints'), { recursive: true })))
    const isDone = standing?.done === steps
    const history = isDone && validation === undefined ? [] : await run(takeUp(loop, standing))
    const ends = isDone || exhausted(validation?.monitor, history)
    if (standing !== undefined && standing.done > 0 && (ends || isPreviewDue(loop, standing.done)))
      if (!loop.preview.files(standing.done).every((file) => existsSync(file)))
        await run(shown(loop, standing.done, standing.state))
    if (standing !== undefined && ends) {
      if (loop.postHocEma !== undefined && !hasSnapshot(dir, standing.done))
        await run(saveSnapshot(dir, loop.postHocEma, standing.done, standing.state, loop.identity))
      await run(tidy(loop, standing.done, history, true))
      if (!isDone) await run(loop.tell(note(endedEarly(loop, standing.done, history))))
      return standing.state
    }
    const executable = await run(loop.compile)
    try {
      return await run(fromStanding(loop, executable, standing, history))
    } finally {
      executable.dispose()
    }
  })
