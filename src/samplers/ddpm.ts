import { add, mul } from '../declare/index.ts'
import { recover } from '../diffusion/parameterization.ts'
import { clipped } from '../diffusion/reverse.ts'
import { type Checked, collect, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import type { NoiseSchedule } from '../schedulers/noise-schedule.ts'
import type { Sampler } from './sampler.ts'
import { alphaBar, checkTransitions, type Transition } from './transitions.ts'

export interface DdpmOptions {
  /** Keeps predictions of x_0 inside [-clip, clip]. */
  readonly clip?: number
  /**
   * v in [0, 1]: the variance is (1 - v) beta~ + v beta; the schedule's own where left out. 0 is diffusers' `fixed_small`, 1 its
   * `fixed_large`.
   */
  readonly vPosterior?: number
}

/** The schedule's v: at t = 0, where beta~ is 0, its variance is v beta. */
const ownMixture = ({ posteriorVariance, betas }: NoiseSchedule): number =>
  (posteriorVariance[0] ?? 0) / (betas[0] ?? 1)

const checkMixture = (v: number): Checked<number> =>
  v >= 0 && v <= 1 ? E.right(v) : fail('config', '/vPosterior', 'a number in [0, 1]', String(v))

/** Log-variances are clipped to at least this one's logarithm. */
const leastVariance = 1e-20

/** The posterior q(x_to | x_from, x_0) of a chain that visits only some timesteps (Nichol and Dhariwal 2021, section 4). */
const posterior = (schedule: NoiseSchedule, { from, to }: Transition, v: number) => {
  const [bar, barPrev] = [alphaBar(schedule, from), alphaBar(schedule, to)]
  const alpha = bar / barPrev
  const beta = 1 - alpha
  const variance = (1 - v) * beta * ((1 - barPrev) / (1 - bar)) + v * beta
  return {
    alpha: Math.sqrt(bar),
    sigma: Math.sqrt(1 - bar),
    ofX0: (beta * Math.sqrt(barPrev)) / (1 - bar),
    ofXt: ((1 - barPrev) * Math.sqrt(alpha)) / (1 - bar),
    spread: to < 0 ? 0 : Math.sqrt(Math.max(variance, leastVariance)),
  }
}

/**
 * Ancestral sampling (Ho et al. 2020, algorithm 2): a sample of the posterior at the predicted x_0; no noise in the step to the
 * data.
 *
 * Source: `p_sample_loop` in CompVis latent-diffusion, `ldm/models/diffusion/ddpm.py`.
 */
export const ddpm = ({ vPosterior, ...clip }: DdpmOptions = {}): Sampler<'ofX0' | 'ofXt' | 'spread'> => ({
  name: 'ddpm',
  coefficients: ['alpha', 'sigma', 'ofX0', 'ofXt', 'spread'],
  imposes: 'after',
  plan: (schedule, transitions) => {
    const v = vPosterior ?? ownMixture(schedule)
    return pipe(
      collect<unknown>([checkMixture(v), checkTransitions(schedule, transitions)]),
      E.map(() =>
        transitions.map((transition, index) => ({
          index,
          t: transition.from,
          coefficients: posterior(schedule, transition, v),
        })),
      ),
    )
  },
  step: (denoise, { xt, t, coefficients, noise }) => {
    const predX0 = pipe(recover(denoise.predicts, coefficients, xt, denoise(xt, t)).x0, clipped(clip))
    const centre = pipe(predX0, mul(coefficients.ofX0), add(pipe(xt, mul(coefficients.ofXt))))
    return { x: pipe(centre, add(pipe(noise, mul(coefficients.spread)))), predX0 }
  },
})
