import { type Level, lambdaOf, type Shares } from '../schedulers/path.ts'
import { type Combination, combine } from './combination.ts'
import { constantly, difference, exponentialStep, type Integrand, type SecondOrder } from './exponential.ts'
import { number } from './options.ts'
import { noise, type Prediction, predict, type Sampler, sampler } from './sampler.ts'

/** Options of `dpmSinglestep`. */
export interface DpmSinglestepOptions {
  /** 1 to 3: calls of the network from one start to the next; default 2. */
  readonly order?: number
  readonly integrand?: Integrand
  readonly secondOrder?: SecondOrder
  /** The share of the reverse SDE, 0 (default) to 1. */
  readonly eta?: number
  /** Whether the last groups are of lower orders, so that any number of calls can be had; default true. */
  readonly lowerAtEnd?: boolean
  /** As of `dpmMultistep`. */
  readonly thirdOrder?: 'integral' | 'diffusers'
}

interface Said {
  readonly at: Shares
  readonly said: Combination
}

/** From the first of up to three predictions to the next level. */
const stretch = (
  [first, second, third]: readonly Said[],
  x: Combination,
  next: Level,
  { integrand = 'x0', secondOrder = 'midpoint', eta = 0, thirdOrder = 'integral' }: DpmSinglestepOptions,
): { readonly x: Combination; readonly noise: number } => {
  if (first === undefined) return { x, noise: 0 }
  const step = exponentialStep(integrand, first.at, next, eta)
  const base = constantly(step, x, first.said)
  const h = lambdaOf(next) - lambdaOf(first.at)
  const away = (s: Said): number => (lambdaOf(s.at) - lambdaOf(first.at)) / h
  if (second === undefined) return { x: base, noise: step.noise }
  const slope = difference(second.said, first.said, away(second))
  if (third === undefined) return { x: combine([1, base], [step.first[secondOrder], slope]), noise: step.noise }
  const far = difference(third.said, first.said, away(third))
  if (secondOrder === 'midpoint') return { x: combine([1, base], [step.first.heun, far]), noise: step.noise }
  const [r1, r0] = [away(second), away(third)]
  const bent = combine([r0 / (r0 - r1), slope], [-r1 / (r0 - r1), far])
  const bend = combine([2 / (r0 - r1), far], [-2 / (r0 - r1), slope])
  const ofBend = thirdOrder === 'diffusers' && eta > 0 ? step.second - next.alpha : step.second
  return { x: combine([1, base], [step.first.heun, bent], [ofBend, bend]), noise: step.noise }
}

/** At which calls a new start is made: 1, 2, 3, 1, ...; the orders fall at the end where asked for, and before the data. */
const orders = (steps: number, order: number, lowerAtEnd: boolean, toData: boolean): readonly number[] => {
  const rising = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => (i % order) + 1)
  const rest = steps % order
  const whole = lowerAtEnd && rest === 0 && order > 1 ? [...rising(steps - 1), 1] : rising(steps)
  return toData ? [...whole.slice(0, -1), 1] : whole
}

/**
 * DPM-Solver and DPM-Solver++, single-step (Lu et al. 2022, algorithms 1 and 2): groups of up to three calls, each group from a start of
 * its own; every level is one call.
 *
 * Source: `DPMSolverSinglestepScheduler` in diffusers, `scheduling_dpmsolver_singlestep.py`.
 */
export const dpmSinglestep = (options: DpmSinglestepOptions = {}): Sampler => {
  const { order = 2, integrand = 'x0', eta = 0, lowerAtEnd = true } = options
  return sampler({
    name: 'dpm-singlestep',
    order: Math.min(order, 2),
    checks: [number('/order', order, { min: 1, max: 3 }), number('/eta', eta, { min: 0, max: 1 })],
    *walk({ transitions, start }) {
      let x = start
      let group: readonly Said[] = []
      let from: Combination = start
      const planned = orders(transitions.length, order, lowerAtEnd, transitions.at(-1)?.next.sigma === 0)
      for (const [i, { here, next }] of transitions.entries()) {
        const said: Prediction = yield* predict(here, x)
        const wanted = planned[i] ?? 1
        const fresh = wanted === 1
        if (fresh) from = said.x
        group = [...(fresh ? [] : group), { at: here, said: said[integrand] }]
        const made = stretch(group, from, next, options)
        x = combine([1, made.x], [made.noise, yield* noise()])
      }
      return x
    },
  })
}
