import { combine } from './combination.ts'
import { noise, predict, type Sampler, sampler } from './sampler.ts'

/**
 * Each prediction of the data, mixed with fresh noise to the next level: multistep sampling of consistency models (Song et al. 2023,
 * algorithm 1); `stochastic_sampling` of `FlowMatchEulerDiscreteScheduler` in diffusers.
 */
export const renoise = (): Sampler =>
  sampler({
    name: 'renoise',
    order: 0,
    pureNoise: 'taken',
    *walk({ transitions, start }) {
      let x = start
      for (const { here, next } of transitions) {
        const { x0 } = yield* predict(here, x)
        x = combine([next.alpha, x0], [next.sigma, yield* noise()])
      }
      return x
    },
  })
