import { type Churn, checkChurn, churned } from './churn.ts'
import { combine } from './combination.ts'
import { predict, type Sampler, sampler } from './sampler.ts'

/**
 * Euler's method along the probability flow (Karras et al. 2022, algorithm 2 without its second half). In any coordinates that is
 * x' = alpha' x_0 + sigma' eps: DDIM without noise, and Euler's method of rectified flow too.
 *
 * Source: `sample_euler` in k-diffusion, `k_diffusion/sampling.py`.
 */
export const euler = (churn: Churn = {}): Sampler =>
  sampler({
    name: 'euler',
    order: 1,
    pureNoise: (churn.churn ?? 0) > 0 ? 'nearly' : 'taken',
    checks: checkChurn(churn),
    *walk(w) {
      let x = w.start
      for (const { here, next } of w.transitions) {
        const { level, lift } = churned(churn, here, w)
        const { x0, eps } = yield* predict(level, x, lift)
        x = combine([next.alpha, x0], [next.sigma, eps])
      }
      return x
    },
  })
