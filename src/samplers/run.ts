import { noiseBatch } from '../distributions/random.ts'
import { type Effect, effect, fail } from '../error.ts'
import { fedAhead } from '../execute/carry.ts'
import { type Executable, floats, type Stepper, type Value, type Values } from '../execute/executor.ts'
import { feedTypes, type Graph, noises } from '../graph/graph.ts'
import { type Shape, size } from '../graph/types.ts'
import { E, pipe, RR, TE } from '../prelude.ts'
import type { PlannedStep, SamplingPlan } from './plan.ts'
import { carryOf, coefficientLeaf, leaves, memoryLeaves } from './step-graph.ts'

/** Which random numbers a step asks for. */
export interface NoiseRequest {
  readonly name: string
  /** `PlannedStep.index` */
  readonly step: number
  readonly shape: Shape
}

/** What a run begins with, and what it leaves: x, and by their leaves what a sampler keeps of earlier steps. */
export interface SamplingState {
  readonly x: Value
  readonly memory: Values
}

/** What `sample` runs. */
export interface SamplingRun {
  readonly plan: SamplingPlan
  /** Made by `stepGraph` for this plan, compiled. */
  readonly graph: Graph
  readonly executable: Executable
  /** The noise to begin with, or what another part of the plan left. */
  readonly from: Value | SamplingState
  /** A part of the plan's steps; all where left out. */
  readonly steps?: readonly PlannedStep[]
  readonly noiseOf: (request: NoiseRequest) => Value
  /** Whatever else the graph is fed, held on the device: weights, conditioning, a known picture. */
  readonly feeds?: Values
  /** What a step is fed of its own, such as a scale of guidance that changes. */
  readonly stepFeeds?: (step: PlannedStep) => Values
  /** Told of each step; a left ends the run before the next. */
  readonly onStep?: (progress: Progress) => Effect<void>
}

/** What `onStep` is told. */
export interface Progress {
  readonly step: PlannedStep
  /** Steps done, and steps in all. */
  readonly done: number
  readonly of: number
  /** Reads x back from the device. */
  readonly x: Effect<Value>
  /** What the graph was made to give of each step, by name: `predX0`, `seen`, `said`. */
  readonly watched: Values
}

/** Noise of N(0, I) under the keys fold(seed, step, name, sample): the same however samples are batched. */
export const keyedNoise =
  (seed: number, samples: readonly number[]) =>
  ({ name, step, shape }: NoiseRequest): Value =>
    floats(shape, noiseBatch(seed, step, name, samples, shape.slice(1)))

/** The noise a run begins with, under the same keys. */
export const initialNoise = (seed: number, samples: readonly number[], sampleShape: Shape): Value =>
  keyedNoise(seed, samples)({ name: leaves.x, step: 0, shape: [samples.length, ...sampleShape] })

const scalarValue = (x: number): Value => floats([], Float64Array.of(x))

/** A state to begin with: where only x is given, nothing is remembered yet. */
const stateOf = (plan: SamplingPlan, from: Value | SamplingState): SamplingState =>
  'memory' in from
    ? from
    : {
        x: from,
        memory: Object.fromEntries(
          memoryLeaves(plan).map((name) => [name, floats(from.shape, new Float64Array(size(from.shape)))]),
        ),
      }

/** What a step is fed beside what it carries, and of that what its graph has leaves for. */
const feedsOf = ({ graph, noiseOf, stepFeeds = () => ({}) }: SamplingRun, batch: number) => {
  const [types, drawn] = [feedTypes(graph), noises(graph)]
  return (step: PlannedStep): Values => {
    const own: Values = {
      ...stepFeeds(step),
      [leaves.t]: floats([batch], new Float64Array(batch).fill(step.level.t)),
      ...Object.fromEntries(
        Object.entries(step.coefficients).map(([c, value]) => [coefficientLeaf(c), scalarValue(value)] as const),
      ),
      ...Object.fromEntries(
        drawn.map(({ name, shape }) => [name, noiseOf({ name, step: step.index, shape })] as const),
      ),
    }
    return RR.filterWithIndex((name: string) => Object.hasOwn(types, name))(own)
  }
}

/**
 * Runs a plan, or a part of one. x and the memory stay where the executor keeps them until the last step; two parts one after the
 * other give what the whole gives.
 */
export const sample = (run: SamplingRun): Effect<SamplingState> =>
  effect(async (go) => {
    const { plan, executable, steps = plan.steps, feeds: held = {} } = run
    const state = stateOf(plan, run.from)
    const stepper = await go(executable.start(carryOf(plan), { ...held, [leaves.x]: state.x, ...state.memory }))
    const read = (name: string): Effect<Value> =>
      pipe(
        stepper.read,
        TE.flatMapEither((values) => {
          const found = values[name]
          return found === undefined ? fail('run', name, 'carried by the step', 'nothing') : E.right(found)
        }),
      )
    const feeds = feedsOf(run, state.x.shape[0] ?? 1)
    const ahead = fedAhead(stepper)
    /** What a step is fed is made, and on its way, while the one before runs. */
    const aheadOf = (i: number): ReturnType<Effect<Stepper['step']>> => {
      const step = steps[i]
      return ahead(step === undefined ? {} : feeds(step))()
    }
    try {
      let coming = aheadOf(0)
      for (const [i, step] of steps.entries()) {
        const stepping = (await go(() => coming))({})()
        coming = aheadOf(i + 1)
        const watched = await go(() => stepping)
        if (run.onStep !== undefined)
          await go(run.onStep({ step, done: i + 1, of: steps.length, x: read(leaves.x), watched }))
      }
      const { [leaves.x]: x = state.x, ...memory } = await go(stepper.read)
      return { x, memory }
    } finally {
      stepper.dispose()
    }
  })
