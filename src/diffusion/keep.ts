import {
  abs,
  add,
  clamp,
  div,
  indicator,
  less,
  maximum,
  minimum,
  mul,
  neg,
  perItem,
  reduceMax,
  select,
  sub,
  sum,
  type Tensor,
} from '../declare/index.ts'
import { size } from '../graph/types.ts'
import { pipe } from '../prelude.ts'

/** Ways to keep predictions of x_0 where data lie. */

/** Inside [-range, range]. */
export const within =
  (range: number) =>
  (x0: Tensor): Tensor =>
    pipe(x0, clamp(-range, range))

/** As many halvings as it takes between two numbers of 64 bits. */
const halvings = 64

/** The k-th smallest of the numbers of each item, none below 0, [N]: by halving, so that only counting is needed. */
const orderStatistic = (magnitudes: Tensor, k: number): Tensor => {
  const axes = magnitudes.shape.map((_, i) => i).slice(1)
  const larger = size(magnitudes.shape.slice(1)) - k
  let high = pipe(magnitudes, reduceMax({ axes }))
  let low = pipe(high, mul(0), sub(1))
  for (let i = 0; i < halvings; i++) {
    const middle = pipe(low, add(high), mul(0.5))
    const above = pipe(middle, perItem(magnitudes), less(magnitudes), indicator, sum({ axes }))
    const enough = pipe(above, less(larger + 0.5))
    ;[low, high] = [pipe(enough, select(low, middle)), pipe(enough, select(middle, high))]
  }
  return high
}

/** The share as published, and a bound that is hardly met; one of 1 is plain clipping. */
export const thresholdDefaults = { share: 0.995, most: 100 } as const
/** Dynamic thresholding (Saharia et al. 2022, section 2.3). */
export interface Threshold {
  /** The share of numbers that are left inside. */
  readonly share: number
  /** The largest s. */
  readonly most: number
}

/**
 * Dynamic thresholding (Saharia et al. 2022, section 2.3): with s the quantile of |x_0| of each item, between 1 and `most`, x_0 is
 * clipped to [-s, s] and divided by s. The quantile lies on the line between two neighbours, as `torch.quantile` has it.
 */
export const dynamicThreshold =
  ({ share, most }: Threshold) =>
  (x0: Tensor): Tensor => {
    const count = size(x0.shape.slice(1))
    const place = share * (count - 1)
    const below = Math.floor(place)
    const magnitudes = abs(x0)
    const low = orderStatistic(magnitudes, below + 1)
    const high = place === below ? low : orderStatistic(magnitudes, below + 2)
    const quantile = pipe(low, add(pipe(high, sub(low), mul(place - below))))
    const s = pipe(quantile, maximum(1), minimum(Math.max(most, 1)), perItem(x0))
    return pipe(x0, maximum(neg(s)), minimum(s), div(s))
  }
