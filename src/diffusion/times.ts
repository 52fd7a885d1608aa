import { add, exp, minimum, mul, neg, noise, sigmoid, square, type Tensor } from '../declare/index.ts'
import { pipe } from '../prelude.ts'
import type { Process } from './process.ts'

/**
 * How times are drawn in training:
 * - `uniform`: all alike
 * - `logit-normal`: the share of the way is sigmoid(mean + deviation n), which favours the middle (Esser et al. 2024, equation 19)
 */
export type TimeSampling =
  | { readonly kind: 'uniform' }
  | { readonly kind: 'logit-normal'; readonly mean: number; readonly deviation: number }

/** Times [N], and 1 / their density over that of uniform ones, [N], where they are not uniform: what keeps a mean over all times true. */
export interface DrawnTimes {
  readonly t: Tensor
  readonly correction?: Tensor
  /** What is multiplied by it: the bounds alone (default), where the times are meant to weigh, or everything. */
  readonly corrects?: 'bounds' | 'everything'
}

/** The float32 before 1. */
const almostOne = 1 - 2 ** -24

/** Times of a batch, of a noise leaf `timestep`. */
export const drawTimes = ({ timeOf }: Process, sampling: TimeSampling, batch: number): DrawnTimes => {
  if (sampling.kind === 'uniform') return { t: timeOf(noise('timestep', [batch], 'uniform')) }
  const { mean, deviation } = sampling
  const n = noise('timestep', [batch])
  const share = pipe(n, mul(deviation), add(mean), sigmoid, minimum(almostOne))
  // du / dn = deviation u (1 - u), and n has the density exp(-n^2 / 2) / sqrt(2 pi).
  const correction = pipe(
    share,
    mul(pipe(neg(share), add(1))),
    mul(pipe(square(n), mul(0.5), exp)),
    mul(deviation * Math.sqrt(2 * Math.PI)),
  )
  return { t: timeOf(share), correction }
}
