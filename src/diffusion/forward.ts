import { add, exp, gather, mul, perItem, type Tensor, vector } from '../declare/index.ts'
import { pipe } from '../prelude.ts'
import type { Column, NoiseSchedule } from '../schedulers/noise-schedule.ts'
import { type Ingredients, type Mixture, mix } from './parameterization.ts'

/**
 * The forward process q of Ho et al. 2020, section 2; functions of `DDPM` in CompVis latent-diffusion,
 * `ldm/models/diffusion/ddpm.py`. Timesteps t are int32[N], counted from 0; what they select of the schedule has shape
 * [N, 1, ...], beside x.
 */

/** The entries of a column (or of a vector of the model's state) at t, shaped to broadcast against x. */
export const extract = (column: Column | Tensor, t: Tensor, x: Tensor): Tensor =>
  pipe(isColumn(column) ? vector(column) : column, gather(t), perItem(x))
const isColumn = (c: Column | Tensor): c is Column => Array.isArray(c)

/** A Gaussian as the reference's posterior functions return it. */
export interface MeanVariance {
  readonly mean: Tensor
  readonly variance: Tensor
  readonly logVariance: Tensor
}

/** sqrt(alpha-bar) and sqrt(1 - alpha-bar) at t. */
export const mixtureAt = (s: NoiseSchedule, t: Tensor, x: Tensor): Mixture => ({
  alpha: extract(s.sqrtAlphasCumprod, t, x),
  sigma: extract(s.sqrtOneMinusAlphasCumprod, t, x),
})

/** A sample of q(x_t | x_0) (equation 4): sqrt(alpha-bar) x_0 + sqrt(1 - alpha-bar) eps. */
export const qSample = (s: NoiseSchedule, { x0, eps, t }: Ingredients & { readonly t: Tensor }): Tensor =>
  mix(mixtureAt(s, t, x0), { x0, eps })

/** A sample of q(x_t | x_{t-1}) (equation 2): sqrt(alpha) x_{t-1} + sqrt(beta) noise. */
export const qStep = (
  s: NoiseSchedule,
  { previous, noise, t }: { readonly previous: Tensor; readonly noise: Tensor; readonly t: Tensor },
): Tensor =>
  pipe(
    previous,
    mul(extract(s.alphas.map(Math.sqrt), t, previous)),
    add(pipe(noise, mul(extract(s.betas.map(Math.sqrt), t, previous)))),
  )

/** q(x_t | x_0) (equation 4). */
export const qMeanVariance = (
  s: NoiseSchedule,
  { x0, t }: { readonly x0: Tensor; readonly t: Tensor },
): MeanVariance => {
  const logVariance = extract(s.logOneMinusAlphasCumprod, t, x0)
  return {
    mean: pipe(x0, mul(extract(s.sqrtAlphasCumprod, t, x0))),
    variance: exp(logVariance),
    logVariance,
  }
}

/**
 * q(x_{t-1} | x_t, x_0) (equations 6 and 7). Its variance is 0 at t = 0; the log-variance is clipped there.
 */
export const qPosterior = (
  s: NoiseSchedule,
  { x0, xt, t }: { readonly x0: Tensor; readonly xt: Tensor; readonly t: Tensor },
): MeanVariance => ({
  mean: pipe(x0, mul(extract(s.posteriorMeanCoef1, t, xt)), add(pipe(xt, mul(extract(s.posteriorMeanCoef2, t, xt))))),
  variance: extract(s.posteriorVariance, t, xt),
  logVariance: extract(s.posteriorLogVarianceClipped, t, xt),
})
