import { type Combination, combine } from './combination.ts'
import { number } from './options.ts'
import { predict, type Sampler, sampler } from './sampler.ts'

/** Gauss-Legendre points and weights on [-1, 1]: exact for polynomials of degree 7. */
const points = [
  [-0.8611363115940526, 0.34785484513745385],
  [-0.33998104358485626, 0.6521451548625461],
  [0.33998104358485626, 0.6521451548625461],
  [0.8611363115940526, 0.34785484513745385],
] as const

/** The integral over [from, to] of the polynomial that is 1 at one of the nodes and 0 at the others. */
const weight = (nodes: readonly number[], one: number, from: number, to: number): number => {
  const at = nodes[one] ?? Number.NaN
  const basis = (s: number): number =>
    nodes.reduce((product, node, k) => (k === one ? product : (product * (s - node)) / (at - node)), 1)
  return ((to - from) / 2) * points.reduce((sum, [u, w]) => sum + w * basis((from + to) / 2 + (u * (to - from)) / 2), 0)
}

/**
 * Linear multistep in sigma: the slopes of the last steps, a polynomial through them, its integral (Adams and Bashforth on uneven
 * steps). One call a step.
 *
 * Source: `sample_lms` in k-diffusion, `k_diffusion/sampling.py`, whose integrals are numerical to 1e-4; these are exact.
 */
export const lms = ({ order = 4 }: { readonly order?: number } = {}): Sampler =>
  sampler({
    name: 'lms',
    order: Math.min(order, 2),
    coordinates: 'straight',
    checks: [number('/order', order, { min: 1, max: 4 })],
    *walk({ transitions, start, slope }) {
      let x = start
      let slopes: readonly Combination[] = []
      let sigmas: readonly number[] = []
      for (const { here, next } of transitions) {
        const said = yield* predict(here, x)
        slopes = [slope(said), ...slopes].slice(0, order)
        sigmas = [here.sigma, ...sigmas].slice(0, order)
        x = combine([1, said.x], ...slopes.map((s, j) => [weight(sigmas, j, here.sigma, next.sigma), s] as const))
      }
      return x
    },
  })
