import { lambdaOf, type Shares } from '../schedulers/path.ts'
import { type Combination, combine } from './combination.ts'

/**
 * The exponential integrators under DPM-Solver (Lu et al. 2022, equation 3.4) and DPM-Solver++ (Lu et al. 2022b, equation 8): x is
 * carried exactly, and what the network says is taken for a polynomial in lambda = log(alpha / sigma).
 */

/** Which prediction is the polynomial: of x_0 (DPM-Solver++), or of eps (DPM-Solver). */
export type Integrand = 'x0' | 'eps'
/** How the first derivative enters a step of second order. */
export type SecondOrder = 'midpoint' | 'heun'

/** The factors of a step. */
export interface ExponentialStep {
  readonly x: number
  /** Of the prediction, its first and its second derivative in lambda, the latter two in units of the step. */
  readonly value: number
  readonly first: Readonly<Record<SecondOrder, number>>
  readonly second: number
  readonly noise: number
}

/** exp(-a h), where a = 0 counts more than an infinite step. */
const decay = (a: number, h: number): number => (a === 0 ? 1 : Math.exp(-a * h))

/** `eta` is the share of the reverse SDE: 0 is the probability flow, 1 the SDE of Song et al. 2021. */
const steps: { readonly [K in Integrand]: (here: Shares, next: Shares, eta: number) => ExponentialStep } = {
  x0: (here, next, eta) => {
    const h = lambdaOf(next) - lambdaOf(here)
    const all = (1 + eta) * h
    const [phi1, phi2] = [-Math.expm1(-all), Math.expm1(-all) / all + 1]
    return {
      x: (next.sigma / here.sigma) * decay(eta, h),
      value: next.alpha * phi1,
      first: { midpoint: (next.alpha * phi1) / 2, heun: next.alpha * phi2 },
      second: -next.alpha * (phi2 / all - 0.5),
      noise: eta === 0 ? 0 : next.sigma * Math.sqrt(-Math.expm1(-2 * eta * h)),
    }
  },
  eps: (here, next, eta) => {
    const h = lambdaOf(next) - lambdaOf(here)
    const scale = -(1 + eta) * next.sigma
    const [phi1, phi2] = [Math.expm1(h), Math.expm1(h) / h - 1]
    return {
      x: next.alpha / here.alpha,
      value: scale * phi1,
      first: { midpoint: (scale * phi1) / 2, heun: scale * phi2 },
      second: scale * (phi2 / h - 0.5),
      noise: eta === 0 ? 0 : next.sigma * Math.sqrt(Math.expm1(2 * eta * h)),
    }
  },
}
export const exponentialStep = (of: Integrand, here: Shares, next: Shares, eta = 0): ExponentialStep =>
  steps[of](here, next, eta)

/** A step of first order: the prediction as a constant. */
export const constantly = (s: ExponentialStep, x: Combination, said: Combination): Combination =>
  combine([s.x, x], [s.value, said])

/** (a - b) / r, the derivative in units of the step from two predictions r steps apart; 0 where they lie infinitely far. */
export const difference = (a: Combination, b: Combination, r: number): Combination => combine([1 / r, a], [-1 / r, b])
