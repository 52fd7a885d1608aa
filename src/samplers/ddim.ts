import { combine } from './combination.ts'
import { number } from './options.ts'
import { noise, predict, type Sampler, sampler } from './sampler.ts'

/** Options of `ddim`. */
export interface DdimOptions {
  /** 0 (the default) draws no noise; 1 has the variance of DDPM. */
  readonly eta?: number
  /** Multiplies the noise, not its variance's share in the direction; default 1. */
  readonly temperature?: number
}

/**
 * Denoising diffusion implicit models (Song, Meng and Ermon 2021, equations 12 and 16):
 * x' = alpha' x_0 + sqrt(sigma'^2 - s^2) eps + s noise, with s = eta sigma'/sigma sqrt(sigma^2 - (alpha/alpha')^2 sigma'^2).
 *
 * Source: `DDIMSampler` in CompVis latent-diffusion, `ldm/models/diffusion/ddim.py`.
 */
export const ddim = ({ eta = 0, temperature = 1 }: DdimOptions = {}): Sampler =>
  sampler({
    name: 'ddim',
    order: 1,
    pureNoise: 'taken',
    clippedEps: 'own',
    checks: [number('/eta', eta, { min: 0, max: 1 }), number('/temperature', temperature, { min: 0 })],
    *walk({ transitions, start }) {
      let x = start
      for (const { here, next } of transitions) {
        const { x0, eps } = yield* predict(here, x)
        const fresh = Math.max(here.sigma ** 2 - ((here.alpha / next.alpha) * next.sigma) ** 2, 0)
        const spread = eta === 0 ? 0 : eta * (next.sigma / here.sigma) * Math.sqrt(fresh)
        const direction = Math.sqrt(Math.max(next.sigma ** 2 - spread ** 2, 0))
        x = combine([next.alpha, x0], [direction, eps], [spread * temperature, yield* noise()])
      }
      return x
    },
  })
