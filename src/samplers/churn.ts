import type { Level } from '../schedulers/path.ts'
import { number } from './options.ts'
import type { Lift, Walk } from './sampler.ts'

/** Noise that is added before a step (Karras et al. 2022, algorithm 2); none by default. */
export interface Churn {
  /** S_churn: noise over the whole walk; default 0. */
  readonly churn?: number
  /** S_tmin and S_tmax: where it is added, in sigma / alpha; default everywhere. */
  readonly from?: number
  readonly to?: number
  /** S_noise: multiplies the noise; default 1. */
  readonly inflate?: number
}

export const checkChurn = ({ churn = 0, inflate = 1 }: Churn) => [
  number('/churn', churn, { min: 0 }),
  number('/inflate', inflate, { min: 0 }),
]

/** The level to which a step lifts x first, and how much noise that takes. */
export const churned = (
  { churn = 0, from = 0, to = Number.POSITIVE_INFINITY, inflate = 1 }: Churn,
  here: Level,
  { transitions, between }: Walk,
): { readonly level: Level; readonly lift?: Lift } => {
  const ratio = here.sigma / here.alpha
  const gamma = ratio >= from && ratio <= to ? Math.min(churn / transitions.length, Math.SQRT2 - 1) : 0
  return gamma === 0
    ? { level: here }
    : {
        level: { ...here, t: between(ratio * (1 + gamma)).t, sigma: here.sigma * (1 + gamma) },
        lift: { from: here, by: here.sigma * Math.sqrt((1 + gamma) ** 2 - 1) * inflate },
      }
}
