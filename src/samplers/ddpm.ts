import { combine } from './combination.ts'
import { number } from './options.ts'
import { noise, predict, type Sampler, sampler } from './sampler.ts'

/** Options of `ddpm`. */
export interface DdpmOptions {
  /**
   * v in [0, 1]: the variance is (1 - v) beta~ + v beta; default 0. 0 is diffusers' `fixed_small`, 1 its `fixed_large`; a network that
   * learnt its variance chooses between both itself (`learned`; Nichol and Dhariwal 2021, equation 15).
   */
  readonly vPosterior?: number | 'learned'
  /** Whether noise is drawn in the step to the data too, as diffusers does from any timestep but the first; default false. */
  readonly noisyEnd?: boolean
}

/** Variances are at least this, as in the reference. */
const leastVariance = 1e-20
const deviation = (variance: number): number => Math.sqrt(Math.max(variance, leastVariance))

/**
 * Ancestral sampling (Ho et al. 2020, algorithm 2): a sample of the posterior q(x' | x, x_0) at the predicted x_0, on a chain that may
 * visit only some timesteps (Nichol and Dhariwal 2021, section 4); no noise in the step to the data.
 *
 * Source: `p_sample_loop` in CompVis latent-diffusion, `ldm/models/diffusion/ddpm.py`.
 */
export const ddpm = ({ vPosterior = 0, noisyEnd = false }: DdpmOptions = {}): Sampler =>
  sampler({
    name: 'ddpm',
    order: 0,
    pureNoise: 'taken',
    imposes: 'after',
    checks: vPosterior === 'learned' ? [] : [number('/vPosterior', vPosterior, { min: 0, max: 1 })],
    *walk({ transitions, start }) {
      let x = start
      for (const { here, next } of transitions) {
        const { x: xt, x0 } = yield* predict(here, x)
        const kept = here.alpha / next.alpha
        const beta = here.sigma ** 2 - (kept * next.sigma) ** 2
        const [small, large] = [(beta * next.sigma ** 2) / here.sigma ** 2, beta]
        const mean = combine(
          [(next.alpha * beta) / here.sigma ** 2, x0],
          [(kept * next.sigma ** 2) / here.sigma ** 2, xt],
        )
        const range =
          vPosterior === 'learned' ? { least: Math.log(deviation(small)), most: Math.log(deviation(large)) } : undefined
        const drawn = yield* noise(range)
        const spread = vPosterior === 'learned' ? 1 : deviation((1 - vPosterior) * small + vPosterior * large)
        x = combine([1, mean], [next.sigma === 0 && !noisyEnd ? 0 : spread, drawn])
      }
      return x
    },
  })
