import {
  add,
  clamp,
  constant,
  equal,
  exp,
  indicator,
  mean,
  mul,
  perItem,
  scalar,
  sub,
  type Tensor,
} from '../declare/index.ts'
import { normalKl } from '../distributions/gaussian.ts'
import { int } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import type { NoiseSchedule } from '../schedulers/noise-schedule.ts'
import type { Denoiser } from './denoiser.ts'
import { type MeanVariance, mixtureAt, qMeanVariance, qPosterior } from './forward.ts'
import { convert, recover } from './parameterization.ts'

/** A noisy batch and its timesteps, int32[N]. */
export interface NoisyBatch {
  readonly xt: Tensor
  readonly t: Tensor
}

/** The x_0 a noise prediction implies: (x_t - sigma eps) / alpha. */
export const predictStartFromNoise = (
  s: NoiseSchedule,
  { xt, t, eps }: NoisyBatch & { readonly eps: Tensor },
): Tensor => recover('eps', mixtureAt(s, t, xt), xt, eps).x0

/** The noise that an x_0 implies: (x_t - alpha x_0) / sigma. */
export const predictEpsFromStart = (s: NoiseSchedule, { xt, t, x0 }: NoisyBatch & { readonly x0: Tensor }): Tensor =>
  recover('x0', mixtureAt(s, t, xt), xt, x0).eps

/** How p(x_{t-1} | x_t) is made of a prediction. */
export interface ReverseOptions {
  /** Predictions of x_0 are kept inside [-clip, clip]; left as they are where left out. */
  readonly clip?: number
}
/** p(x_{t-1} | x_t), and the x_0 that it comes from. */
export interface Reverse extends MeanVariance {
  readonly predX0: Tensor
}

/** Inside [-clip, clip], where a clip is given. */
export const clipped =
  ({ clip }: ReverseOptions) =>
  (x0: Tensor): Tensor =>
    clip === undefined ? x0 : pipe(x0, clamp(-clip, clip))

/** p(x_{t-1} | x_t): the posterior of q at the predicted x_0 (Ho et al. 2020, section 3.2; `p_mean_variance`). */
export const pMeanVariance = (
  s: NoiseSchedule,
  denoise: Denoiser,
  { xt, t }: NoisyBatch,
  options: ReverseOptions = {},
): Reverse => {
  const predX0 = pipe(convert(denoise.predicts, 'x0', mixtureAt(s, t, xt), xt, denoise(xt, t)), clipped(options))
  return { ...qPosterior(s, { x0: predX0, xt, t }), predX0 }
}

/** A sample of p(x_{t-1} | x_t) (algorithm 2; `p_sample`): at t = 0 the mean. */
export const pSample = (
  s: NoiseSchedule,
  denoise: Denoiser,
  { xt, t, noise }: NoisyBatch & { readonly noise: Tensor },
  options: ReverseOptions = {},
): Tensor => {
  const { mean: centre, logVariance } = pMeanVariance(s, denoise, { xt, t }, options)
  const noisy = pipe(scalar(1), sub(pipe(t, equal(0), indicator)), perItem(xt))
  return pipe(centre, add(pipe(logVariance, mul(0.5), exp, mul(noisy), mul(noise))))
}

/** KL(q(x_T | x_0) || N(0, I)) of each item, in bits a dimension: the part of the bound that nothing can learn. */
export const priorBpd = (s: NoiseSchedule, x0: Tensor): Tensor => {
  const last = constant([s.timesteps - 1], int(...x0.shape.slice(0, 1)))
  const { mean: centre, logVariance } = qMeanVariance(s, { x0, t: last })
  const each = normalKl({ mean: centre, logvar: logVariance }, { mean: 0, logvar: 0 })
  return pipe(each, mean({ axes: x0.shape.map((_, i) => i).slice(1) }), mul(1 / Math.LN2))
}
