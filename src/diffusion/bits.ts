import { freeze, input, type Tensor } from '../declare/index.ts'
import { type Checked, type Effect, effect } from '../error.ts'
import { type Executable, ints, type Values } from '../execute/executor.ts'
import type { Graph } from '../graph/graph.ts'
import { int } from '../graph/types.ts'
import type { NoiseSchedule } from '../schedulers/noise-schedule.ts'
import { boundTerm, type Decoder, fixedLogVariance, learnedLogVariance, type Variance } from './bound.ts'
import type { Denoiser } from './denoiser.ts'
import { mixtureAt, qSample } from './forward.ts'
import { type Ingredients, recover } from './parameterization.ts'
import { priorBpd } from './reverse.ts'

/**
 * Bits per dimension: the variational bound of -log p(x_0), L_T + L_{T-1} + ... + L_0 (Ho et al. 2020, equation 5; `calc_bpd_loop` of
 * guided-diffusion).
 */

/** The leaf of the timesteps, int32[N]. */
export const bitsLeaf = 'bits/t'

/** What the bound is asked with. */
export interface BitsOptions {
  readonly decoder: Decoder
  /** Of a network that has not learnt its variance; default `small`. */
  readonly variance?: Variance
  /** Where predictions of x_0 are kept; anywhere where left out. */
  readonly keep?: (x0: Tensor) => Tensor
}

/** L_t of each item at its timestep as output `term`, and L_T as output `prior`, [N] in bits a dimension. */
export const bitsGraph = (
  s: NoiseSchedule,
  denoise: Denoiser,
  { x0, eps }: Ingredients,
  { decoder, variance = 'small', keep = (x) => x }: BitsOptions,
): Checked<Graph> => {
  const t = input(bitsLeaf, int(...x0.shape.slice(0, 1)))
  const xt = qSample(s, { x0, eps, t })
  const predX0 = keep(recover(denoise.predicts, mixtureAt(s, t, xt), xt, denoise(xt, t)).x0)
  const share = denoise.variance?.(xt, t)
  const logVariance = share === undefined ? fixedLogVariance(s, variance, t, xt) : learnedLogVariance(s, share, t)
  return freeze({ term: boundTerm(s, { x0, xt, t }, { predX0, logVariance }, decoder), prior: priorBpd(s, x0) })
}

/** A timestep to be asked about, and how many timesteps it stands for. */
export interface Visit {
  readonly t: number
  readonly count: number
}

/** All timesteps, each for itself. */
export const everyTimestep = (timesteps: number): readonly Visit[] =>
  Array.from({ length: timesteps }, (_, t) => ({ t, count: 1 }))

/**
 * The first timestep for itself, and one of each of so many equal parts of the others, a share in [0, 1) into it: with uniform shares the
 * estimate is unbiased.
 */
export const someTimesteps = (timesteps: number, parts: number, share: (part: number) => number): readonly Visit[] => {
  const n = Math.min(parts, timesteps - 1)
  const begin = (part: number): number => 1 + Math.floor((part * (timesteps - 1)) / n)
  return [
    { t: 0, count: 1 },
    ...Array.from({ length: n }, (_, part) => {
      const count = begin(part + 1) - begin(part)
      return { t: begin(part) + Math.floor(share(part) * count), count }
    }),
  ]
}

/** What `bitsPerDim` goes over. */
export interface BitsRun {
  /** `bitsGraph`, compiled. */
  readonly executable: Executable
  /** N */
  readonly items: number
  readonly visits: readonly Visit[]
  /** What the graph is fed beside the timestep: the same x_0 and fresh noise for each. */
  readonly feeds: (t: number) => Values
  /** Told of each timestep; a left ends the run. */
  readonly onStep?: (done: number, of: number) => Effect<void>
}

/** The bound of each item in bits a dimension, an estimate by one draw of noise a timestep. */
export const bitsPerDim = ({ executable, items, visits, feeds, onStep }: BitsRun): Effect<readonly number[]> =>
  effect(async (run) => {
    const sums = new Float64Array(items)
    for (const [i, { t, count }] of visits.entries()) {
      const told = { [bitsLeaf]: ints([items], new Int32Array(items).fill(t)) }
      const { term, prior } = await run(executable.run({ ...feeds(t), ...told }))
      for (let item = 0; item < items; item++) {
        const once = i === 0 ? (prior?.data[item] ?? Number.NaN) : 0
        sums[item] = (sums[item] ?? 0) + once + count * (term?.data[item] ?? Number.NaN)
      }
      if (onStep !== undefined) await run(onStep(i + 1, visits.length))
    }
    return [...sums]
  })
