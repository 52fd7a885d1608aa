import { type Combination, combine } from './combination.ts'
import { number } from './options.ts'
import { hold, predict, type Sampler, sampler } from './sampler.ts'

/** Options of the inversion of DDIM. */
export interface InversionOptions {
  /** Calls of the network for each step, each of which brings the step nearer to one that DDIM exactly undoes; default 8. */
  readonly iterations?: number
}

/**
 * DDIM backwards, from a picture to the noise that it would be drawn from (Song et al. 2021 (DDIM), section 4.3), along rising levels.
 * Each step solves x' = alpha' / alpha x + (sigma' - alpha' / alpha sigma) eps(x', t') by fixed-point iteration (Pan et al. 2023,
 * equation 8), since eps is asked where DDIM will ask it.
 */
export const ddimInversion = ({ iterations = 8 }: InversionOptions = {}): Sampler =>
  sampler({
    name: 'ddim-inversion',
    order: 1,
    pureNoise: 'taken',
    clippedEps: 'own',
    checks: [number('/iterations', iterations, { min: 1, max: 100 })],
    *walk({ transitions, start }) {
      let x = start
      let eps: Combination | undefined
      for (const { here, next } of transitions) {
        const shrink = next.alpha / here.alpha
        const from = x
        const to = (direction: Combination): Combination =>
          combine([shrink, from], [next.sigma - shrink * here.sigma, direction])
        let guess: Combination = eps === undefined ? from : to(eps)
        for (let i = 0; i < iterations; i++) {
          eps = (yield* predict(next, guess)).eps
          guess = to(eps)
        }
        x = yield* hold(guess)
      }
      return x
    },
  })
