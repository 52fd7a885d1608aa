import { add, exp, less, log, mul, neg, scalar, select, square, sub, type Tensor, tanh } from '../declare/index.ts'
import { pipe } from '../prelude.ts'

/** Half the distance of two neighbouring values of an 8-bit picture in [-1, 1]. */
const halfBin = 1 / 255

export interface OuterBins {
  /** Beyond these the outer bins begin, which reach to infinity; default 0.999. */
  readonly outermost?: number
  /** Probabilities are not let below this before the logarithm, and below it no gradient flows; default 1e-15. */
  readonly least?: number
}

/** tanh approximation of the standard normal's cumulative distribution (Page 1977), off by at most 2e-4. */
export const approximateNormalCdf = (x: Tensor): Tensor =>
  pipe(square(x), mul(0.044715), add(1), mul(x), mul(Math.sqrt(2 / Math.PI)), tanh, add(1), mul(0.5))

const logAbove =
  (least: number) =>
  (p: Tensor): Tensor =>
    pipe(p, less(least), select(scalar(least), p), log)

/** A Gaussian's location, and the logarithm of its standard deviation. */
export interface LocationScale {
  readonly mean: Tensor
  readonly logScale: Tensor
}

/**
 * log P(x) in nats, elementwise, for pictures of 256 levels in [-1, 1]: the mass a Gaussian puts on the bin of x, the
 * outer bins reaching to infinity (Ho et al. 2020, equation 13).
 *
 * Source: `discretized_gaussian_log_likelihood` of lucidrains' denoising-diffusion-pytorch,
 * `learned_gaussian_diffusion.py`.
 */
export const discretizedLogLikelihood =
  (x: Tensor, { outermost = 0.999, least = 1e-15 }: OuterBins = {}) =>
  ({ mean, logScale }: LocationScale): Tensor => {
    const safeLog = logAbove(least)
    const centred = pipe(x, sub(mean))
    const cdfAt = (edge: number): Tensor => pipe(centred, add(edge), mul(exp(neg(logScale))), approximateNormalCdf)
    const [upper, lower] = [cdfAt(halfBin), cdfAt(-halfBin)]
    const inner = safeLog(pipe(upper, sub(lower)))
    const aboveLower = safeLog(pipe(scalar(1), sub(lower)))
    const capped = pipe(scalar(outermost), less(x), select(aboveLower, inner))
    return pipe(x, less(-outermost), select(safeLog(upper), capped))
  }
