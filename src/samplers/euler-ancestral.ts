import { ancestral } from './ancestral.ts'
import { combine } from './combination.ts'
import { number } from './options.ts'
import { noise, predict, type Sampler, sampler } from './sampler.ts'

/** Of samplers that draw noise at each step. */
export interface AncestralOptions {
  /** How much noise is drawn, default 1; 0 is the method without. */
  readonly eta?: number
  /** Multiplies the noise; default 1. */
  readonly inflate?: number
}

/** What `AncestralOptions` must be. */
export const checkAncestral = ({ eta = 1, inflate = 1 }: AncestralOptions) => [
  number('/eta', eta, { min: 0, max: 1 }),
  number('/inflate', inflate, { min: 0 }),
]

/**
 * Euler's method to a level below the next one, and noise up to it.
 *
 * Source: `sample_euler_ancestral` in k-diffusion, `k_diffusion/sampling.py`.
 */
export const eulerAncestral = (options: AncestralOptions = {}): Sampler =>
  sampler({
    name: 'euler-ancestral',
    order: 1,
    pureNoise: 'taken',
    checks: checkAncestral(options),
    *walk({ transitions, start }) {
      const { eta = 1, inflate = 1 } = options
      let x = start
      for (const { here, next } of transitions) {
        const { x0, eps } = yield* predict(here, x)
        const { down, up } = ancestral(here, next, eta)
        x = combine([down.alpha, x0], [down.sigma, eps], [up * inflate, yield* noise()])
      }
      return x
    },
  })
