import { add, cast, cos, div, mean, mul, perItem, sin, type Tensor, tanh } from '../../../declare/index.ts'
import { type Denoiser, denoiser, guide, type Parameterization } from '../../../diffusion/index.ts'
import { type Effect, fail } from '../../../error.ts'
import { type Executor, floats, type Value, type Values } from '../../../execute/executor.ts'
import { feedTypes, type Graph } from '../../../graph/graph.ts'
import { size } from '../../../graph/types.ts'
import { E, pipe, TE } from '../../../prelude.ts'
import {
  type Keep,
  leaves,
  type NoiseRequest,
  type PlannedStep,
  type SamplingPlan,
  sample,
  stepGraph,
} from '../../../samplers/index.ts'
import { optimise } from '../../../transform/index.ts'
import { type Case, toValue } from '../../case.ts'
import type { Tolerance } from '../../compare.ts'
import { given, optional } from '../../rebuild.ts'

/** The model of most cases: tanh(x / 2) cos(t / 100) + mean(c) / 10. */
const toyModel =
  (conditioning: Tensor | undefined) =>
  (x: Tensor, t: Tensor): Tensor => {
    const wave = pipe(t, cast('float32'), mul(0.01), cos, perItem(x))
    const unconditional = pipe(x, mul(0.5), tanh, mul(wave))
    if (conditioning === undefined) return unconditional
    const axes = conditioning.shape.map((_, i) => i).slice(1)
    return pipe(unconditional, add(pipe(conditioning, mean({ axes }), mul(0.1), perItem(x))))
  }

/** Guided where the case has something to guide away from. */
export const denoiserOf = (c: Case, predicts: Parameterization, scale: number): Denoiser => {
  const conditional = denoiser(predicts, toyModel(optional(c, 'cond')))
  return 'uncond' in c.inputs && scale !== 1
    ? guide(scale)(conditional, denoiser(predicts, toyModel(given(c, 'uncond'))))
    : conditional
}

/** k-diffusion's cases: D(x, sigma) = x / (1 + sigma^2) + 0.2 sin(x) sigma / (1 + sigma). */
export const closedForm: Denoiser = denoiser('x0', (x, t) => {
  const sigma = pipe(t, perItem(x))
  const near = pipe(x, div(pipe(sigma, mul(sigma), add(1))))
  return pipe(near, add(pipe(sin(x), mul(0.2), mul(sigma), div(pipe(sigma, add(1))))))
})

/** The k-th of the arrays along axis 0. */
const entry = (all: Value, k: number): Value => {
  const shape = all.shape.slice(1)
  const count = size(shape)
  return floats(shape, Float64Array.from(all.data.subarray(k * count, (k + 1) * count)))
}
export const stacked = (parts: readonly Value[]): Value =>
  floats([parts.length, ...(parts[0]?.shape ?? [])], Float64Array.from(parts.flatMap(({ data }) => Array.from(data))))
export const times =
  (factor: number) =>
  ({ shape, data }: Value): Value =>
    floats(
      shape,
      Float64Array.from(data, (x) => x * factor),
    )
export const numbers = (xs: readonly number[]): Value => floats([xs.length], Float64Array.from(xs))

/** Which of the case's drawn noise a step takes, by the name of its leaf; it has none where the case has no more. */
export type Draws = Readonly<Record<string, { readonly of: string; readonly at: (step: number) => number }>>

const noiseOf =
  (c: Case, draws: Draws) =>
  ({ name, step, shape }: NoiseRequest): Value => {
    const draw = draws[name]
    const all = draw === undefined ? undefined : c.inputs[draw.of]
    const k = draw?.at(step) ?? 0
    return all === undefined || k >= (all.shape[0] ?? 0)
      ? floats(shape, new Float64Array(size(shape)))
      : entry(toValue(all), k)
  }

/**
 * Along a trajectory rounding is handed on: what the reference's float32 is off by in x, all that is seen on the way may be off by
 * several times.
 */
export const alongTheWay = ({ float32Errors }: Case): readonly Tolerance[] => {
  const worst = Math.max(0, ...Object.values(float32Errors).map(([, scaled]) => scaled))
  const limit = 5 * worst
  return limit <= 1e-5
    ? []
    : [
        {
          tensor: /^out\.(x|final|model_in|model_out|pred_original_sample|denoised)$/,
          measure: 'scaled',
          limit: Math.max(limit, 5e-5),
        },
      ]
}

/** Counts the draws before a step, of steps that ask for noise. */
export const drawsBefore =
  (steps: readonly PlannedStep[]) =>
  (step: number): number =>
    steps.slice(0, step).filter(({ draws }) => draws).length

/** What the step graph is fed that stays the same. */
const feedsOf = (c: Case, graph: Graph): Values => {
  const types = feedTypes(graph)
  const named: Readonly<Record<string, string>> = {
    'in.cond': 'cond',
    'in.uncond': 'uncond',
    [leaves.x0]: 'x0',
    [leaves.mask]: 'mask',
  }
  return Object.fromEntries(
    Object.entries(named).flatMap(([leaf, name]) => {
      const array = c.inputs[name]
      return array === undefined || !Object.hasOwn(types, leaf) ? [] : [[leaf, toValue(array)] as const]
    }),
  )
}

export interface Loop {
  readonly plan: SamplingPlan
  readonly denoise: Denoiser
  readonly draws: Draws
  readonly keep?: Keep
  readonly inpaint?: boolean
  /** What the case's x_T is multiplied by to lie on the path. */
  readonly scale?: number
}

/** What a loop was seen to do: after each call of the network. */
export interface Seen {
  readonly x: readonly Value[]
  readonly predX0: readonly Value[]
  readonly seen: readonly Value[]
  readonly said: readonly Value[]
  readonly final: Value
}

/** Runs the loop. */
export const trajectory =
  (c: Case, { plan, denoise, draws, keep, inpaint = false, scale = 1 }: Loop) =>
  (executor: Executor): Effect<Seen> =>
    pipe(
      stepGraph(plan, denoise, {
        shape: given(c, 'x_T').shape,
        inpaint,
        watch: ['predX0', 'seen', 'said'],
        ...(keep === undefined ? {} : { keep }),
      }),
      E.map(optimise),
      E.bindTo('graph'),
      E.bind('xT', () => {
        const array = c.inputs.x_T
        return array === undefined ? fail('data', 'in.x_T', 'the noise to begin with', 'none') : E.right(toValue(array))
      }),
      TE.fromEither,
      TE.bind('executable', ({ graph }) => executor.compile(graph, { mode: 'sampling' })),
      TE.flatMap(({ graph, xT, executable }) => {
        const made = { x: [] as Value[], predX0: [] as Value[], seen: [] as Value[], said: [] as Value[] }
        const run = sample({
          plan,
          graph,
          executable,
          from: scale === 1 ? xT : times(scale)(xT),
          noiseOf: noiseOf(c, draws),
          feeds: feedsOf(c, graph),
          onStep: ({ x, watched }) =>
            pipe(
              x,
              TE.tapIO((value) => () => {
                made.x.push(value)
                for (const name of ['predX0', 'seen', 'said'] as const) {
                  const found = watched[name]
                  if (found !== undefined) made[name].push(found)
                }
              }),
              TE.asUnit,
            ),
        })
        return pipe(
          run,
          TE.tapIO(() => executable.dispose),
          TE.map(({ x }) => ({ ...made, final: x })),
        )
      }),
    )
