import { add, mul } from '../declare/index.ts'
import { recover } from '../diffusion/parameterization.ts'
import { clipped } from '../diffusion/reverse.ts'
import { type Checked, collect, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import type { Sampler } from './sampler.ts'
import { alphaBar, checkTransitions, type Transition } from './transitions.ts'

export interface DdimOptions {
  /** 0 (the default) draws no noise; 1 has the variance of DDPM. */
  readonly eta?: number
  /** Multiplies the noise, not its variance's share in the direction; default 1. */
  readonly temperature?: number
  /** Keeps predictions of x_0 inside [-clip, clip]; the noise prediction stays as it was (as in diffusers). */
  readonly clip?: number
  /**
   * alpha-bar where the last step ends: 1, the `data`, or that of the `first timestep` (the default: CompVis' strided steps,
   * diffusers' `set_alpha_to_one: false`).
   */
  readonly end?: 'data' | 'first timestep'
}

/** eta sqrt((1 - A') / (1 - A)) sqrt(1 - A / A') (Song et al. 2021, equation 16). */
const deviation = (eta: number, bar: number, barPrev: number): number =>
  eta * Math.sqrt(((1 - barPrev) / (1 - bar)) * (1 - bar / barPrev))

const checkEta = (eta: number): Checked<number> =>
  eta >= 0 && eta <= 1 ? E.right(eta) : fail('config', '/eta', 'a number in [0, 1]', String(eta))
const checkTemperature = (temperature: number): Checked<number> =>
  temperature >= 0 && Number.isFinite(temperature)
    ? E.right(temperature)
    : fail('config', '/temperature', 'a number not below 0', String(temperature))

/**
 * Denoising diffusion implicit models (Song, Meng and Ermon 2021, equation 12):
 * x' = sqrt(A') x_0 + sqrt(1 - A' - sigma^2) eps + sigma noise.
 *
 * Source: `DDIMSampler` in CompVis latent-diffusion, `ldm/models/diffusion/ddim.py`; with `use_original_steps` that is
 * `descend` of all timesteps, ending at the `data`.
 *
 * ```ts
 * const plan = ddim({ eta: 0 }).plan(schedule, descend([1, 101, 201]))
 * ```
 */
export const ddim = ({
  eta = 0,
  temperature = 1,
  end = 'first timestep',
  ...clip
}: DdimOptions = {}): Sampler<'alphaPrev' | 'direction' | 'spread'> => ({
  name: 'ddim',
  coefficients: ['alpha', 'sigma', 'alphaPrev', 'direction', 'spread'],
  imposes: 'before',
  plan: (schedule, transitions) => {
    const barAfter = ({ to }: Transition): number => alphaBar(schedule, to < 0 && end === 'first timestep' ? 0 : to)
    return pipe(
      collect<unknown>([checkEta(eta), checkTemperature(temperature), checkTransitions(schedule, transitions)]),
      E.map(() =>
        transitions.map((transition, index) => {
          const [bar, barPrev] = [alphaBar(schedule, transition.from), barAfter(transition)]
          const sigma = deviation(eta, bar, barPrev)
          return {
            index,
            t: transition.from,
            coefficients: {
              alpha: Math.sqrt(bar),
              sigma: Math.sqrt(1 - bar),
              alphaPrev: Math.sqrt(barPrev),
              direction: Math.sqrt(Math.max(1 - barPrev - sigma ** 2, 0)),
              spread: sigma * temperature,
            },
          }
        }),
      ),
    )
  },
  step: (denoise, { xt, t, coefficients, noise }) => {
    const { x0, eps } = recover(denoise.predicts, coefficients, xt, denoise(xt, t))
    const predX0 = pipe(x0, clipped(clip))
    const next = pipe(predX0, mul(coefficients.alphaPrev), add(pipe(eps, mul(coefficients.direction))))
    return { x: eta === 0 ? next : pipe(next, add(pipe(noise, mul(coefficients.spread)))), predX0 }
  },
})
