import { add, mul, split, type Tensor } from '../declare/index.ts'
import { pipe } from '../prelude.ts'
import { type Denoiser, denoiser } from './denoiser.ts'
import { once } from './once.ts'
import type { Parameterization } from './parameterization.ts'

/**
 * Gives a function of 2C channels its parameterization: the first C are the prediction, the others 2 v - 1 of the variance
 * (Nichol and Dhariwal 2021, section 3.1; `learn_sigma` of guided-diffusion).
 */
export const varianceDenoiser = <P extends Parameterization>(
  predicts: P,
  predict: (xt: Tensor, t: Tensor) => Tensor,
): Denoiser<P> => {
  const both = once(predict)
  const half = (i: 0 | 1, xt: Tensor, t: Tensor): Tensor => pipe(both(xt, t), split(2, 1))[i] ?? xt
  return Object.assign(
    denoiser(predicts, (xt, t) => half(0, xt, t)),
    { variance: (xt: Tensor, t: Tensor) => pipe(half(1, xt, t), add(1), mul(0.5)) },
  )
}
