import { type Churn, checkChurn, churned } from './churn.ts'
import { combine } from './combination.ts'
import { predict, type Sampler, sampler } from './sampler.ts'

/**
 * Heun's method (Karras et al. 2022, algorithm 2): the mean of the slopes before and after a step of Euler's; the step to the data is
 * Euler's alone. Two calls of the network a step.
 *
 * Source: `sample_heun` in k-diffusion, `k_diffusion/sampling.py`.
 */
export const heun = (churn: Churn = {}): Sampler =>
  sampler({
    name: 'heun',
    order: 2,
    coordinates: (churn.churn ?? 0) > 0 ? 'exploding' : 'straight',
    checks: checkChurn(churn),
    *walk(w) {
      let x = w.start
      for (const { here, next } of w.transitions) {
        const { level, lift } = churned(churn, here, w)
        const before = yield* predict(level, x, lift)
        const h = next.sigma - level.sigma
        const ahead = combine([1, before.x], [h, w.slope(before)])
        if (next.sigma === 0) x = ahead
        else {
          const after = yield* predict(next, ahead)
          x = combine([1, before.x], [h / 2, w.slope(before)], [h / 2, w.slope(after)])
        }
      }
      return x
    },
  })
