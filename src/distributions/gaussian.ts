import {
  add,
  broadcast,
  clamp,
  constant,
  div,
  exp,
  mul,
  neg,
  type Operand,
  scalar,
  split,
  square,
  sub,
  sum,
  type Tensor,
  zerosLike,
} from '../declare/index.ts'
import { float, type Shape } from '../graph/types.ts'
import { pipe } from '../prelude.ts'

/**
 * A Gaussian with independent elements: one distribution for each item of axis 0.
 *
 * Source: `DiagonalGaussianDistribution` in CompVis latent-diffusion, `ldm/modules/distributions/distributions.py`.
 */
export interface DiagonalGaussian {
  readonly mean: Tensor
  readonly logvar: Tensor
  readonly std: Tensor
  readonly var: Tensor
  /** All mass on the mean: `std` and `var` are 0 while `logvar` stays as it was, and `kl` and `nll` are [0]. */
  readonly deterministic: boolean
}

/** Bounds of log-variances; no gradient flows to a log-variance outside them. */
export const logvarBounds = [-30, 20] as const

/** The Gaussian of a mean and a log-variance, clamped to `logvarBounds`. */
export const gaussian = (mean: Tensor, logvar: Tensor): DiagonalGaussian => {
  const clamped = pipe(logvar, clamp(...logvarBounds))
  return {
    mean,
    logvar: clamped,
    std: pipe(clamped, mul(0.5), exp),
    var: exp(clamped),
    deterministic: false,
  }
}

/**
 * The Gaussian of an encoder's moments [N, 2C, ...]: the first C channels are the mean, the others the log-variance.
 *
 * ```ts
 * const posterior = diagonalGaussian(encoder(x))
 * const z = pipe(posterior, sample(noise('posterior', posterior.mean.shape)))
 * ```
 */
export const diagonalGaussian = (moments: Tensor): DiagonalGaussian => {
  const [mean = moments, logvar = moments] = pipe(moments, split(2, 1))
  return gaussian(mean, logvar)
}

/** The same mean without spread. */
export const deterministic = (d: DiagonalGaussian): DiagonalGaussian => ({
  ...d,
  std: zerosLike(d.mean),
  var: zerosLike(d.mean),
  deterministic: true,
})

/** N(0, I), the prior of latents. */
export const standardNormal = (shape: Shape): DiagonalGaussian => {
  const zeros = pipe(scalar(0), broadcast(...shape))
  return gaussian(zeros, zeros)
}

/** mean + std noise, with noise from N(0, I) of the mean's shape (Kingma and Welling 2014, section 2.4). */
export const sample =
  (noise: Tensor) =>
  (d: DiagonalGaussian): Tensor =>
    pipe(d.mean, add(pipe(d.std, mul(noise))))

/** Where the density is greatest: the mean. */
export const mode = (d: DiagonalGaussian): Tensor => d.mean

const allButFirst = (x: Tensor): readonly number[] => x.shape.map((_, i) => i).slice(1)
const nothing = constant([0], float(1))
const overItem = (x: Tensor): Tensor => pipe(x, sum({ axes: allButFirst(x) }))

/**
 * KL(d || other) of each item, [N] in nats; to N(0, I) where `other` is left out:
 * 1/2 sum((mu - mu')^2 / var' + var / var' - 1 - log var + log var').
 */
export const kl =
  (other?: DiagonalGaussian) =>
  (d: DiagonalGaussian): Tensor => {
    if (d.deterministic) return nothing
    const terms =
      other === undefined
        ? pipe(square(d.mean), add(d.var), sub(1), sub(d.logvar))
        : pipe(
            pipe(d.mean, sub(other.mean), square, div(other.var)),
            add(pipe(d.var, div(other.var))),
            sub(1),
            sub(d.logvar),
            add(other.logvar),
          )
    return pipe(overItem(terms), mul(0.5))
  }

/**
 * -log p(x), in nats, summed over `axes` (all but the first where left out):
 * 1/2 sum(log 2 pi + log var + (x - mu)^2 / var).
 */
export const nll =
  (x: Tensor, axes: readonly number[] = allButFirst(x)) =>
  (d: DiagonalGaussian): Tensor =>
    d.deterministic
      ? nothing
      : pipe(
          pipe(x, sub(d.mean), square, div(d.var)),
          add(d.logvar),
          add(Math.log(2 * Math.PI)),
          sum({ axes }),
          mul(0.5),
        )

/**
 * KL(N(mean1, e^logvar1) || N(mean2, e^logvar2)), elementwise, in nats. A number stands for a tensor of that number.
 *
 * Source: `normal_kl` of the same file, after improved diffusion.
 */
export const normalKl = (
  p: { readonly mean: Tensor; readonly logvar: Tensor },
  q: { readonly mean: Operand; readonly logvar: Operand },
): Tensor => {
  const logRatio = pipe(p.logvar, sub(q.logvar))
  const precision = typeof q.logvar === 'number' ? Math.exp(-q.logvar) : exp(neg(q.logvar))
  return pipe(
    neg(logRatio),
    sub(1),
    add(exp(logRatio)),
    add(pipe(p.mean, sub(q.mean), square, mul(precision))),
    mul(0.5),
  )
}
