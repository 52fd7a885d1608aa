import { add, cast, div, floor, mul, neg, perItem, type Tensor } from '../declare/index.ts'
import { pipe } from '../prelude.ts'
import type { NoiseSchedule } from '../schedulers/noise-schedule.ts'
import { discretePath, flowPath, type Path } from '../schedulers/path.ts'
import { extract, mixtureAt } from './forward.ts'
import type { Mixture, Parameterization } from './parameterization.ts'
import { errorOfX0 } from './weighting.ts'

/** What a network is trained along: times and shares as expressions. */
export interface Process {
  /** The same for samplers, as numbers. */
  readonly path: Path
  /** The columns of whole timesteps; a flow has none. */
  readonly schedule?: NoiseSchedule
  /** alpha and sigma at times [N], shaped to broadcast against x. */
  readonly mixtureAt: (t: Tensor, x: Tensor) => Mixture
  /** The times a share of the way from the least noise (0) to the most (1, excluded), [N]. */
  readonly timeOf: (share: Tensor) => Tensor
  /** What the squared error of a prediction at t weighs in the variational bound over T, [N]: `VlbWeights`. */
  readonly vlbWeight: (predicts: Parameterization, t: Tensor) => Tensor
}

/** Whole timesteps, from 0 to T - 1. */
export const discreteProcess = (schedule: NoiseSchedule): Process => ({
  path: discretePath(schedule),
  schedule,
  mixtureAt: (t, x) => mixtureAt(schedule, t, x),
  timeOf: (share) => pipe(share, mul(schedule.timesteps), floor, cast('int32')),
  vlbWeight: (predicts, t) => extract(schedule.vlbWeights[predicts], t, t),
})

/**
 * Rectified flow at real times from T / T's first to T, shifted as `flowPath` is. Its bound is that of continuous time, -dSNR / 2 of x_0's
 * squared error (Kingma et al. 2021, equation 17).
 */
export const flowProcess = ({
  timesteps = 1000,
  shift = 1,
}: {
  readonly timesteps?: number | undefined
  readonly shift?: number | undefined
} = {}): Process => {
  const least = 1 / timesteps
  const mixture = (t: Tensor, x: Tensor): Mixture => {
    const sigma = pipe(t, mul(1 / timesteps), perItem(x))
    return { alpha: pipe(neg(sigma), add(1)), sigma }
  }
  const shifted = (u: Tensor): Tensor => (shift === 1 ? u : pipe(u, mul(shift), div(pipe(u, mul(shift - 1), add(1)))))
  return {
    path: flowPath({ timesteps, shift }),
    mixtureAt: mixture,
    timeOf: (share) => pipe(share, mul(1 - least), add(least), shifted, mul(timesteps)),
    vlbWeight: (predicts, t) => {
      const m = mixture(t, t)
      const ratio = pipe(m.alpha, div(m.sigma))
      const root = pipe(ratio, mul(shift), add(1))
      return pipe(ratio, mul(root), mul(root), mul((1 - least) / (shift * timesteps)), mul(errorOfX0(predicts, m)))
    },
  }
}
