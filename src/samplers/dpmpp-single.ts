import { ancestral } from './ancestral.ts'
import { combine } from './combination.ts'
import { type AncestralOptions, checkAncestral } from './euler-ancestral.ts'
import { constantly, exponentialStep } from './exponential.ts'
import { noise, predict, type Sampler, sampler } from './sampler.ts'

/** A level at a share of the way in lambda, as sigma / alpha. */
const onTheWay = (from: number, to: number, share: number): number => from ** (1 - share) * to ** share

/**
 * DPM-Solver++(2S) (Lu et al. 2022b, algorithm 1) to a level below the next one, and noise up to it. Two calls a step.
 *
 * Source: `sample_dpmpp_2s_ancestral` in k-diffusion, `k_diffusion/sampling.py`.
 */
export const dpmpp2sAncestral = (options: AncestralOptions = {}): Sampler =>
  sampler({
    name: 'dpm++-2s-ancestral',
    order: 2,
    checks: checkAncestral(options),
    *walk({ transitions, start, between }) {
      const { eta = 1, inflate = 1 } = options
      let x = start
      for (const { here, next } of transitions) {
        const said = yield* predict(here, x)
        const { down, up } = ancestral(here, next, eta)
        const whole = exponentialStep('x0', here, down)
        if (down.sigma === 0) x = constantly(whole, said.x, said.x0)
        else {
          const middle = between(onTheWay(here.sigma / here.alpha, down.sigma / down.alpha, 1 / 2))
          const there = yield* predict(middle, constantly(exponentialStep('x0', here, middle), said.x, said.x0))
          x = constantly(whole, said.x, there.x0)
        }
        x = combine([1, x], [up * inflate, yield* noise()])
      }
      return x
    },
  })

/**
 * DPM-Solver++ along the reverse SDE, with a stage at the middle in lambda. Two calls a step, noise at each.
 *
 * Source: `sample_dpmpp_sde` in k-diffusion, `k_diffusion/sampling.py`, with r = 1/2.
 */
export const dpmppSde = (options: AncestralOptions = {}): Sampler =>
  sampler({
    name: 'dpm++-sde',
    order: 2,
    checks: checkAncestral(options),
    *walk({ transitions, start, between }) {
      const { eta = 1, inflate = 1 } = options
      let x = start
      for (const { here, next } of transitions) {
        const said = yield* predict(here, x)
        if (next.sigma === 0) x = constantly(exponentialStep('x0', here, next), said.x, said.x0)
        else {
          const middle = between(onTheWay(here.sigma / here.alpha, next.sigma / next.alpha, 1 / 2))
          const half = ancestral(here, middle, eta)
          const stage = combine(
            [1, constantly(exponentialStep('x0', here, half.down), said.x, said.x0)],
            [half.up * inflate, yield* noise()],
          )
          const there = yield* predict(middle, stage)
          const { down, up } = ancestral(here, next, eta)
          x = combine(
            [1, constantly(exponentialStep('x0', here, down), said.x, there.x0)],
            [up * inflate, yield* noise()],
          )
        }
      }
      return x
    },
  })
