import { type Level, lambdaOf, ratioOf } from '../schedulers/path.ts'
import { type Combination, combine } from './combination.ts'
import { number } from './options.ts'
import { predict, type Sampler, sampler } from './sampler.ts'

/** Options of `deis`. */
export interface DeisOptions {
  /** 1 to 3: how many predictions a step goes by; default 2. */
  readonly order?: number
  /** As of `dpmMultistep`. */
  readonly lowerAtEnd?: 'last two' | 'last' | 'data'
}

/**
 * The integral over rho of the polynomial in log rho that is 1 at the first node and 0 at the others, from one rho to another:
 * antiderivatives of the powers of log rho are rho times polynomials in it.
 */
const integral = (node: number, others: readonly number[], from: number, to: number): number => {
  const scale = others.reduce((product, o) => product * (node - o), 1)
  const [a = 0, b = 0] = others
  const whole = (rho: number): number => {
    const l = Math.log(rho)
    const powers = [1, l - 1, l * l - 2 * l + 2] as const
    return (
      rho *
      (others.length === 0
        ? powers[0]
        : others.length === 1
          ? powers[1] - a * powers[0]
          : powers[2] - (a + b) * powers[1] + a * b * powers[0])
    )
  }
  return (whole(to) - (rhoIsZero(from) ? 0 : whole(from))) / scale
}
const rhoIsZero = (rho: number): boolean => rho === 0

const orderAt = ({ order = 2, lowerAtEnd = 'data' }: DeisOptions, next: Level, left: number): number =>
  next.sigma === 0 || (left === 1 && lowerAtEnd !== 'data')
    ? 1
    : left === 2 && lowerAtEnd === 'last two'
      ? Math.min(order, 2)
      : order

/**
 * DEIS (Zhang and Chen 2023), multistep in log rho with rho = sigma / alpha: the noise predictions of the last steps, a polynomial
 * through them, its integral. One call a step; the step to the data is of first order.
 *
 * Source: `DEISMultistepScheduler` in diffusers, `scheduling_deis_multistep.py`.
 */
export const deis = (options: DeisOptions = {}): Sampler => {
  const { order = 2 } = options
  return sampler({
    name: 'deis',
    order: Math.min(order, 2),
    checks: [number('/order', order, { min: 1, max: 3 })],
    *walk({ transitions, start }) {
      let x = start
      let past: readonly { readonly eps: Combination; readonly log: number }[] = []
      for (const [i, { here, next }] of transitions.entries()) {
        const said = yield* predict(here, x)
        past = [{ eps: said.eps, log: -lambdaOf(here) }, ...past].slice(0, order)
        const used = past.slice(0, orderAt(options, next, transitions.length - i))
        x =
          used.length === 1
            ? combine([next.alpha, said.x0], [next.sigma, said.eps])
            : combine(
                [next.alpha / here.alpha, said.x],
                ...used.map(({ eps, log }, j) => {
                  const others = used.flatMap((p, k) => (k === j ? [] : [p.log]))
                  return [next.alpha * integral(log, others, ratioOf(here), ratioOf(next)), eps] as const
                }),
              )
      }
      return x
    },
  })
}
