import { ancestral } from './ancestral.ts'
import { type Churn, checkChurn, churned } from './churn.ts'
import { combine } from './combination.ts'
import { type AncestralOptions, checkAncestral } from './euler-ancestral.ts'
import { noise, predict, type Sampler, sampler } from './sampler.ts'

/**
 * A step along the slope at its middle, in log sigma (Lu et al. 2022, DPM-Solver-2, as Karras et al. 2022 step). Two calls a step.
 *
 * Source: `sample_dpm_2` in k-diffusion, `k_diffusion/sampling.py`.
 */
export const dpm2 = (churn: Churn = {}): Sampler =>
  sampler({
    name: 'dpm-2',
    order: 2,
    coordinates: (churn.churn ?? 0) > 0 ? 'exploding' : 'straight',
    checks: checkChurn(churn),
    *walk(w) {
      let x = w.start
      for (const { here, next } of w.transitions) {
        const { level, lift } = churned(churn, here, w)
        const before = yield* predict(level, x, lift)
        const h = next.sigma - level.sigma
        if (next.sigma === 0) x = combine([1, before.x], [h, w.slope(before)])
        else {
          const middle = w.between(Math.sqrt((level.sigma / level.alpha) * (next.sigma / next.alpha)))
          const half = combine([1, before.x], [middle.sigma - level.sigma, w.slope(before)])
          const there = yield* predict(middle, half)
          x = combine([1, before.x], [h, w.slope(there)])
        }
      }
      return x
    },
  })

/**
 * The same to a level below the next one, and noise up to it.
 *
 * Source: `sample_dpm_2_ancestral` in k-diffusion, `k_diffusion/sampling.py`.
 */
export const dpm2Ancestral = (options: AncestralOptions = {}): Sampler =>
  sampler({
    name: 'dpm-2-ancestral',
    order: 2,
    coordinates: 'exploding',
    checks: checkAncestral(options),
    *walk({ transitions, start, between, slope }) {
      const { eta = 1, inflate = 1 } = options
      let x = start
      for (const { here, next } of transitions) {
        const before = yield* predict(here, x)
        const { down, up } = ancestral(here, next, eta)
        const h = down.sigma - here.sigma
        if (down.sigma === 0) x = combine([1, before.x], [h, slope(before)])
        else {
          const middle = between(Math.sqrt((here.sigma / here.alpha) * (down.sigma / down.alpha)))
          const half = combine([1, before.x], [middle.sigma - here.sigma, slope(before)])
          const there = yield* predict(middle, half)
          x = combine([1, before.x], [h, slope(there)], [up * inflate, yield* noise()])
        }
      }
      return x
    },
  })
