import { type Level, lambdaOf } from '../schedulers/path.ts'
import { type Combination, combine } from './combination.ts'
import {
  constantly,
  difference,
  type ExponentialStep,
  exponentialStep,
  type Integrand,
  type SecondOrder,
} from './exponential.ts'
import { number } from './options.ts'
import { noise, predict, type Sampler, sampler } from './sampler.ts'

/** Options of `dpmMultistep`. */
export interface DpmMultistepOptions {
  /** 1 to 3: how many predictions a step goes by; default 2. */
  readonly order?: number
  /** `x0` is DPM-Solver++, `eps` DPM-Solver; default `x0`. */
  readonly integrand?: Integrand
  readonly secondOrder?: SecondOrder
  /** The share of the reverse SDE, 0 (default) to 1. */
  readonly eta?: number
  /** Multiplies the noise; default 1. */
  readonly inflate?: number
  /**
   * By how much the order falls towards the end: at the last step to 1, and at the one before to 2 (`last two`; diffusers below 15
   * steps); default `data`: to 1 at a step to the data.
   */
  readonly lowerAtEnd?: 'last two' | 'last' | 'data'
  /**
   * `diffusers` has the sign of 1/2 in the SDE's third order as that library has it, which differs from the integral
   * (`scheduling_dpmsolver_multistep.py`, `sde-dpmsolver++`); for its numbers alone.
   */
  readonly thirdOrder?: 'integral' | 'diffusers'
}

/** The predictions of the last steps, the newest first. */
type Past = readonly { readonly said: Combination; readonly lambda: number }[]

/** What the second and third predictions add to a step of length h. */
const corrections = (
  step: ExponentialStep,
  [now, before, earlier]: Past,
  h: number,
  { secondOrder = 'midpoint' }: DpmMultistepOptions,
  second: number,
): Combination => {
  if (now === undefined || before === undefined) return {}
  const r0 = (now.lambda - before.lambda) / h
  const slope = difference(now.said, before.said, r0)
  if (earlier === undefined) return combine([step.first[secondOrder], slope])
  const r1 = (before.lambda - earlier.lambda) / h
  const bend = combine([1 / (r0 + r1), slope], [-1 / (r0 + r1), difference(before.said, earlier.said, r1)])
  return combine([step.first.heun, combine([1, slope], [r0, bend])], [second, bend])
}

const orderAt = ({ order = 2, lowerAtEnd = 'data' }: DpmMultistepOptions, next: Level, left: number): number =>
  left === 1 && (lowerAtEnd !== 'data' || next.sigma === 0)
    ? 1
    : left === 2 && lowerAtEnd === 'last two'
      ? Math.min(order, 2)
      : order

/**
 * DPM-Solver and DPM-Solver++, multistep (Lu et al. 2022b, algorithm 2; third order as in its appendix), along the probability flow or
 * the reverse SDE. One call a step.
 *
 * Source: `DPMSolverMultistepScheduler` in diffusers, `scheduling_dpmsolver_multistep.py`.
 */
export const dpmMultistep = (options: DpmMultistepOptions = {}): Sampler => {
  const { order = 2, integrand = 'x0', eta = 0, inflate = 1, thirdOrder = 'integral' } = options
  return sampler({
    name: 'dpm-multistep',
    order: Math.min(order, 2),
    checks: [
      number('/order', order, { min: 1, max: 3 }),
      number('/eta', eta, { min: 0, max: 1 }),
      number('/inflate', inflate, { min: 0 }),
    ],
    *walk({ transitions, start }) {
      let x = start
      let past: Past = []
      for (const [i, { here, next }] of transitions.entries()) {
        const said = yield* predict(here, x)
        const step = exponentialStep(integrand, here, next, eta)
        const [lambda, h] = [lambdaOf(here), lambdaOf(next) - lambdaOf(here)]
        past = [{ said: said[integrand], lambda }, ...past].slice(0, order)
        const used = past.slice(0, orderAt(options, next, transitions.length - i))
        const second = thirdOrder === 'diffusers' && eta > 0 ? step.second - next.alpha : step.second
        x = combine(
          [1, constantly(step, said.x, said[integrand])],
          [1, corrections(step, used, h, options, second)],
          [step.noise * inflate, yield* noise()],
        )
      }
      return x
    },
  })
}

/** DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2). Source: `sample_dpmpp_2m` in k-diffusion, `k_diffusion/sampling.py`. */
export const dpmpp2m = (): Sampler => ({ ...dpmMultistep(), name: 'dpm++-2m' })

type Sde = Pick<DpmMultistepOptions, 'eta' | 'inflate' | 'secondOrder'>
/** The same along the reverse SDE; `eta` is 1. Source: `sample_dpmpp_2m_sde` in k-diffusion. */
export const dpmpp2mSde = (sde: Sde = {}): Sampler => ({ ...dpmMultistep({ eta: 1, ...sde }), name: 'dpm++-2m-sde' })

/** Of three predictions, along the reverse SDE; `eta` is 1. Source: `sample_dpmpp_3m_sde` in k-diffusion. */
export const dpmpp3mSde = (sde: Omit<Sde, 'secondOrder'> = {}): Sampler => ({
  ...dpmMultistep({ order: 3, eta: 1, secondOrder: 'heun', ...sde }),
  name: 'dpm++-3m-sde',
})
