import { noiseBatch } from '../distributions/random.ts'
import { type Effect, fail } from '../error.ts'
import { type Executable, floats, ints, type Value, type Values } from '../execute/executor.ts'
import { feedTypes, type Graph, noises } from '../graph/graph.ts'
import type { Shape } from '../graph/types.ts'
import { E, RR } from '../prelude.ts'
import type { PlannedStep } from './sampler.ts'
import { coefficientLeaf, leaves } from './step-graph.ts'

/** Which random numbers a step asks for. */
export interface NoiseRequest {
  readonly name: string
  /** `PlannedStep.index` */
  readonly step: number
  readonly shape: Shape
}

export interface SamplingRun {
  /** Made by `stepGraph`, compiled. */
  readonly graph: Graph
  readonly executable: Executable
  readonly plan: readonly PlannedStep[]
  /** The noise to begin with. */
  readonly xT: Value
  readonly noiseOf: (request: NoiseRequest) => Value
  /** Whatever else the graph is fed: weights, conditioning, a known picture. */
  readonly feeds?: Values
  /** Told of each step; a left ends the run. */
  readonly onStep?: (progress: Progress) => Effect<void>
}

export interface Progress {
  readonly step: PlannedStep
  /** Steps done, and steps of the plan. */
  readonly done: number
  readonly of: number
  readonly x: Value
  readonly predX0: Value
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

/** Everything one step is fed, and of that what its graph has leaves for. */
const feedsOf = ({ graph, noiseOf, feeds = {} }: SamplingRun, step: PlannedStep, x: Value): Values => {
  const types = feedTypes(graph)
  const batch = x.shape[0] ?? 1
  const own: Values = {
    [leaves.x]: x,
    [leaves.t]: ints([batch], new Int32Array(batch).fill(step.t)),
    ...Object.fromEntries(
      Object.entries(step.coefficients).map(([c, value]) => [coefficientLeaf(c), scalarValue(value)] as const),
    ),
    ...Object.fromEntries(
      noises(graph).map(({ name, shape }) => [name, noiseOf({ name, step: step.index, shape })] as const),
    ),
  }
  return { ...feeds, ...RR.filterWithIndex((name: string) => Object.hasOwn(types, name))(own) }
}

/**
 * Runs a plan, or a part of one, from xT: the last x. Two parts one after the other give what the whole gives.
 */
export const sample =
  (run: SamplingRun): Effect<Value> =>
  async () => {
    let x = run.xT
    for (const [i, step] of run.plan.entries()) {
      const result = await run.executable.run(feedsOf(run, step, x))()
      if (E.isLeft(result)) return result
      const { x: next, predX0 } = result.right
      if (next === undefined || predX0 === undefined)
        return fail('run', 'sampler', 'the outputs x and predX0', Object.keys(result.right).join(', '))
      x = next
      const heard = await (run.onStep?.({ step, done: i + 1, of: run.plan.length, x, predX0 }) ?? carryOn)()
      if (E.isLeft(heard)) return heard
    }
    return E.right(x)
  }
const carryOn: Effect<void> = async () => E.right(undefined)
