import { freeze, input } from '../declare/index.ts'
import type { Checked } from '../error.ts'
import { type Effect, effect } from '../error.ts'
import { type Executable, ints, type Value, type Values } from '../execute/executor.ts'
import type { Graph } from '../graph/graph.ts'
import { float, int, type Shape } from '../graph/types.ts'
import { TE } from '../prelude.ts'
import type { NoiseSchedule } from '../schedulers/noise-schedule.ts'
import { boundTerm, type Decoder, fixedLogVariance, learnedLogVariance, type Variance } from './bound.ts'
import type { Denoiser } from './denoiser.ts'
import { mixtureAt, qSample } from './forward.ts'
import { recover } from './parameterization.ts'
import { priorBpd } from './reverse.ts'

/** Bits per dimension: the variational bound of -log p(x_0), L_T + L_{T-1} + ... + L_0 (Ho et al. 2020, equation 5; `calc_bpd_loop` of guided-diffusion). */

/** What the graph of a term is fed, beside the network's own leaves. */
export const bitsLeaves = { x0: 'bits/x0', eps: 'bits/eps', t: 'bits/t' } as const

export interface BitsOptions {
  /** The shape of x_0, batch first. */
  readonly shape: Shape
  readonly decoder: Decoder
  /** Of a network that has not learnt its variance; default `small`. */
  readonly variance?: Variance
}

/** L_t of each item at its timestep as output `term`, and L_T as output `prior`, [N] in bits a dimension. */
export const bitsGraph = (
  s: NoiseSchedule,
  denoise: Denoiser,
  { shape, decoder, variance = 'small' }: BitsOptions,
): Checked<Graph> => {
  const [x0, eps] = [input(bitsLeaves.x0, float(...shape)), input(bitsLeaves.eps, float(...shape))]
  const t = input(bitsLeaves.t, int(...shape.slice(0, 1)))
  const xt = qSample(s, { x0, eps, t })
  const { x0: predX0 } = recover(denoise.predicts, mixtureAt(s, t, xt), xt, denoise(xt, t))
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

export interface BitsRun {
  /** `bitsGraph`, compiled. */
  readonly executable: Executable
  readonly x0: Value
  /** Noise of the shape of x_0, for each timestep. */
  readonly noiseOf: (t: number) => Value
  readonly visits: readonly Visit[]
  /** Whatever else the graph is fed: weights, conditioning. */
  readonly feeds?: Values
  /** Told of each timestep; a left ends the run. */
  readonly onStep?: (done: number, of: number) => Effect<void>
}

/** The bound of each item in bits a dimension, an estimate by one draw of noise a timestep. */
export const bitsPerDim = ({
  executable,
  x0,
  noiseOf,
  visits,
  feeds = {},
  onStep = () => TE.right(undefined),
}: BitsRun): Effect<readonly number[]> =>
  effect(async (run) => {
    const n = x0.shape[0] ?? 0
    const total = new Float64Array(n)
    for (const [i, { t, count }] of visits.entries()) {
      const told = { [bitsLeaves.t]: ints([n], new Int32Array(n).fill(t)) }
      const { term, prior } = await run(
        executable.run({ ...feeds, ...told, [bitsLeaves.x0]: x0, [bitsLeaves.eps]: noiseOf(t) }),
      )
      total.forEach((_, item) => {
        total[item] = (total[item] ?? 0) + count * (term?.data[item] ?? Number.NaN)
        if (i === 0) total[item] = (total[item] ?? 0) + (prior?.data[item] ?? Number.NaN)
      })
      await run(onStep(i + 1, visits.length))
    }
    return [...total]
  })
