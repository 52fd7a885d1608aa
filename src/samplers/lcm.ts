import { combine } from './combination.ts'
import { number } from './options.ts'
import { noise, predict, type Sampler, sampler } from './sampler.ts'

/** Options of `lcm`. */
export interface LcmOptions {
  /** Standard deviation of the data, 0.5 in the paper. */
  readonly data?: number
  /** Timesteps are multiplied by this before they are compared with `data`; 10 in the published models. */
  readonly timestepScaling?: number
}

/**
 * Multistep sampling of a latent consistency model (Luo et al. 2023, algorithm 3): each prediction of the data is mixed with fresh noise
 * to the next level; none at the data.
 *
 * Source: `LCMScheduler` in diffusers, `scheduling_lcm.py`.
 */
export const lcm = ({ data = 0.5, timestepScaling = 10 }: LcmOptions = {}): Sampler =>
  sampler({
    name: 'lcm',
    order: 0,
    pureNoise: 'taken',
    checks: [number('/data', data, { min: 0 }), number('/timestepScaling', timestepScaling, { min: 0 })],
    *walk({ transitions, start }) {
      let x = start
      for (const { here, next } of transitions) {
        const said = yield* predict(here, x)
        const t = here.t * timestepScaling
        const skip = data ** 2 / (t ** 2 + data ** 2)
        const out = t / Math.sqrt(t ** 2 + data ** 2)
        const denoised = combine([out, said.x0], [skip, said.x])
        x = combine([next.alpha, denoised], [next.sigma, yield* noise()])
      }
      return x
    },
  })
