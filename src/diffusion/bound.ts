import {
  add,
  div,
  equal,
  exp,
  log,
  mean,
  mul,
  neg,
  type Operand,
  perItem,
  select,
  square,
  sub,
  type Tensor,
} from '../declare/index.ts'
import { discretizedLogLikelihood } from '../distributions/discretized-gaussian.ts'
import { normalKl } from '../distributions/gaussian.ts'
import { pipe } from '../prelude.ts'
import type { Column, NoiseSchedule } from '../schedulers/noise-schedule.ts'
import { extract, qPosterior } from './forward.ts'

/** The variational bound's terms (Ho et al. 2020, equation 5), with variances that a network may have learnt. */

/**
 * What the last step is measured by: the `density` of a Gaussian, where data are real numbers such as latents, or the probability of each of
 * the 256 levels of `pixels` in [-1, 1], which were multiplied by `scale` (default 1).
 */
export type Decoder = { readonly kind: 'density' } | { readonly kind: 'pixels'; readonly scale?: Operand }

/** Of a reverse step: beta~ of the posterior, or beta of the forward step. */
export type Variance = 'small' | 'large'

/**
 * The logarithms of both. The first posterior's variance is 0: that of the second stands for it, and where no range is asked for, for the
 * first beta too (`posterior_log_variance_clipped` and `FIXED_LARGE` of guided-diffusion).
 */
const logVariances = ({ posteriorVariance, betas }: NoiseSchedule) => {
  const second = Math.log(posteriorVariance[1] ?? Number.NaN)
  const [small, large] = [posteriorVariance, betas].map((column) => column.map(Math.log))
  const rest = (column: Column = []): Column => [second, ...column.slice(1)]
  return { small: rest(small), large: rest(large), most: large ?? [] }
}

/** The log-variance of a reverse step, fixed, shaped to broadcast against x. */
export const fixedLogVariance = (s: NoiseSchedule, variance: Variance, t: Tensor, x: Tensor): Tensor =>
  extract(logVariances(s)[variance], t, x)

/** The log-variance that a share in [0, 1] chooses between beta~ and beta (Nichol and Dhariwal 2021, equation 15). */
export const learnedLogVariance = (s: NoiseSchedule, share: Tensor, t: Tensor): Tensor => {
  const { small, most } = logVariances(s)
  const least = extract(small, t, share)
  return pipe(extract(most, t, share), sub(least), mul(share), add(least))
}

/** A reverse step, by the x_0 that was predicted. */
export interface ReverseStep {
  readonly predX0: Tensor
  readonly logVariance: Tensor
}

const density = (x0: Tensor, { predX0, logVariance }: ReverseStep): Tensor =>
  pipe(x0, sub(predX0), square, mul(exp(neg(logVariance))), add(logVariance), add(Math.log(2 * Math.PI)), mul(0.5))

const levels = (x0: Tensor, { predX0, logVariance }: ReverseStep, scale: Operand): Tensor => {
  const shrink = typeof scale === 'number' ? Math.log(scale) : log(scale)
  const location = { mean: pipe(predX0, div(scale)), logScale: pipe(logVariance, mul(0.5), sub(shrink)) }
  return neg(pipe(location, discretizedLogLikelihood(pipe(x0, div(scale)))))
}

/** -log p(x_0 | x_1), elementwise, in nats: at t = 0 the posterior's mean is the predicted x_0. */
const decoded = (decoder: Decoder, x0: Tensor, p: ReverseStep): Tensor =>
  decoder.kind === 'density' ? density(x0, p) : levels(x0, p, decoder.scale ?? 1)

/**
 * L_t of each item, [N], in bits a dimension: KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)), at t = 0 the decoder's -log p(x_0 | x_1)
 * (`_vb_terms_bpd` of guided-diffusion).
 */
export const boundTerm = (
  s: NoiseSchedule,
  { x0, xt, t }: { readonly x0: Tensor; readonly xt: Tensor; readonly t: Tensor },
  p: ReverseStep,
  decoder: Decoder,
): Tensor => {
  const q = { mean: qPosterior(s, { x0, xt, t }).mean, logvar: fixedLogVariance(s, 'small', t, x0) }
  const divergence = normalKl(q, { mean: qPosterior(s, { x0: p.predX0, xt, t }).mean, logvar: p.logVariance })
  const first = pipe(t, equal(0), perItem(x0))
  const each = pipe(first, select(decoded(decoder, x0, p), divergence))
  return pipe(each, mean({ axes: x0.shape.map((_, i) => i).slice(1) }), mul(1 / Math.LN2))
}
