import fc from 'fast-check'
import { add, div, exp, mul, neg, perItem, reciprocal, sqrt, square, type Tensor } from '../declare/index.ts'
import { type Denoiser, denoiser } from '../diffusion/denoiser.ts'
import type { Effect } from '../error.ts'
import { type Executor, floats } from '../execute/executor.ts'
import { size } from '../graph/types.ts'
import { E, pipe, TE } from '../prelude.ts'
import type { PlannedStep, SamplingPlan } from '../samplers/plan.ts'
import { type NoiseRequest, type SamplingState, sample } from '../samplers/run.ts'
import { chain, type Transition } from '../samplers/sampler.ts'
import { stepGraph } from '../samplers/step-graph.ts'
import { levelsOf, type Spacing } from '../schedulers/levels.ts'
import type { Column } from '../schedulers/noise-schedule.ts'
import { discretePath, explodingPath, flowPath, levelOfRatio, type Path, type PathKind } from '../schedulers/path.ts'
import { noiseSchedules, silenced } from './diffusion.ts'
import { real, rows } from './numbers.ts'

/** What the laws of samplers walk along, and data on which the best denoiser is known. */

export interface Walked {
  readonly path: Path
  readonly transitions: readonly Transition[]
}
/** Steps down a path to the data, in two to eight steps at any of some spacings. */
export const walksAlong = (
  path: fc.Arbitrary<Path>,
  spacings: readonly Spacing[] = ['trailing', 'linspace', 'karras', 'exponential', 'beta', 'log-snr'],
): fc.Arbitrary<Walked> =>
  fc
    .record({
      path,
      spacing: fc.constantFrom(...spacings),
      steps: fc.integer({ min: 2, max: 8 }),
    })
    .map(({ path, spacing, steps }) => {
      // A flow begins at pure noise, where lambda is not finite: its grid in log SNR is capped.
      const levels = levelsOf(path, { kind: spacing, steps: path.whole ? Math.min(steps, path.span[1] + 1) : steps })
      if (E.isLeft(levels)) throw new Error(JSON.stringify(levels.left))
      return { path, transitions: chain(levels.right) }
    })

/** Paths of this library, and steps down them to the data. */
export const walks = walksAlong(
  fc.oneof(
    noiseSchedules.map(discretePath),
    real(0.5, 4).map((shift) => flowPath({ shift })),
    fc.record({ least: real(0.02, 0.2), most: real(2, 20) }).map(({ least, most }) => explodingPath(least, most)),
  ),
)
/** Down timesteps of which the last is nothing but noise. */
export const walksFromNoise = walksAlong(noiseSchedules.map(silenced).map(discretePath))

/** A path on which the network is told sigma / alpha itself (of flows, their time), so that it can be a formula. */
export const formulaPath = (
  kind: PathKind,
  { least, most }: { readonly least: number; readonly most: number },
): Path => {
  const path = { ...explodingPath(least, most), kind }
  return kind === 'flow'
    ? { ...flowPath(), span: [(1000 * least) / (1 + least), (1000 * most) / (1 + most)] }
    : { ...path, at: (ratio) => levelOfRatio(path, ratio) }
}

/** sigma / alpha and alpha at what the network is told. */
const told: { readonly [K in PathKind]: (t: Tensor) => { readonly ratio: Tensor; readonly alpha: Tensor } } = {
  exploding: (t) => ({ ratio: t, alpha: pipe(t, mul(0), add(1)) }),
  preserving: (t) => ({ ratio: t, alpha: pipe(square(t), add(1), sqrt, reciprocal) }),
  flow: (t) => {
    const sigma = pipe(t, mul(1 / 1000))
    const alpha = pipe(neg(sigma), add(1))
    return { ratio: pipe(sigma, div(alpha)), alpha }
  },
}

/** Data of two Gaussians N(+-mean, deviation^2), one as likely as the other. */
export interface Mixed {
  readonly mean: number
  readonly deviation: number
}

/** E[x_0 | x_t]: m tanh(m x / v) s^2 + ... in closed form, with v = deviation^2 + ratio^2 and x at alpha 1. */
export const mixtureDenoiser = (kind: PathKind, { mean, deviation }: Mixed): Denoiser<'x0'> =>
  denoiser('x0', (xt, t) => {
    const { ratio, alpha } = told[kind](t)
    const noise = pipe(square(ratio), perItem(xt))
    const x = pipe(xt, div(pipe(alpha, perItem(xt))))
    const variance = pipe(noise, add(deviation ** 2))
    // tanh(m x / v) = 1 - 2 / (e^(2 m x / v) + 1)
    const sign = pipe(pipe(x, mul(2 * mean), div(variance), exp, add(1), reciprocal, mul(-2)), add(1))
    return pipe(sign, mul(mean), mul(noise), add(pipe(x, mul(deviation ** 2))), div(variance))
  })

const { abs, erf } = {
  abs: Math.abs,
  /** Abramowitz and Stegun 7.1.5 near 0, a continued fraction beyond: to about 1e-15. */
  erf: (x: number): number => {
    const a = Math.abs(x)
    if (a > 6) return Math.sign(x)
    if (a < 2.5) {
      let [term, sum] = [a, a]
      for (let n = 1; n < 200 && Math.abs(term) > 1e-18 * sum; n++) {
        term *= (-a * a) / n
        sum += term / (2 * n + 1)
      }
      return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI)
    }
    let tail = 0
    for (let n = 120; n > 0; n--) tail = n / 2 / (a + tail)
    return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + tail)))
  },
}

/**
 * Where the probability flow takes x, at alpha 1, from one sigma / alpha to another: in one dimension it keeps the share of the
 * distribution that lies below.
 */
export const flowOf = ({ mean, deviation }: Mixed, from: number, to: number, x: number): number => {
  const below = (y: number, ratio: number): number => {
    const spread = Math.hypot(deviation, ratio) * Math.SQRT2
    return (erf((y - mean) / spread) + erf((y + mean) / spread)) / 2
  }
  const share = below(x, from)
  let [low, high] = [-mean - 12 * Math.hypot(deviation, to), mean + 12 * Math.hypot(deviation, to)]
  for (let i = 0; i < 200 && high - low > 1e-16 * (1 + abs(low)); i++) {
    const middle = (low + high) / 2
    if (below(middle, to) < share) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** Runs a plan, or a part of it, from numbers or a state. */
export const walkFrom = (
  executor: Executor,
  {
    plan,
    steps,
    denoise,
    noiseOf,
  }: {
    readonly plan: SamplingPlan
    readonly steps?: readonly PlannedStep[]
    readonly denoise: Denoiser
    readonly noiseOf: (request: NoiseRequest) => Column
  },
  from: Column | SamplingState,
): Effect<SamplingState> => {
  const count = 'memory' in from ? size(from.x.shape) : from.length
  const shape = [count, 1]
  return pipe(
    TE.fromEither(stepGraph(plan, denoise, { shape })),
    TE.flatMap((graph) =>
      pipe(
        executor.compile(graph, { mode: 'sampling' }),
        TE.flatMap((executable) =>
          TE.bracket(
            TE.right(executable),
            () =>
              sample({
                plan,
                graph,
                executable,
                ...(steps === undefined ? {} : { steps }),
                from: 'memory' in from ? from : floats(shape, Float64Array.from(from)),
                noiseOf: (request) => floats(shape, Float64Array.from(noiseOf(request))),
              }),
            (x) => TE.fromIO(x.dispose),
          ),
        ),
      ),
    ),
  )
}
export const numbersOf = ({ x }: SamplingState): Column => Array.from(x.data)

/** A denoiser that knows what was mixed, of each item. */
export const oracle = (x0: Column): Denoiser => denoiser('x0', (x) => pipe(x, mul(0), add(rows(...x0.map((v) => [v])))))
/** Noise that is none. */
export const silent = ({ shape }: NoiseRequest): Column => Array.from({ length: shape[0] ?? 1 }, () => 0)
