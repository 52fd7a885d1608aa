import { lambdaOf, ratioOf } from '../schedulers/path.ts'
import { ancestral } from './ancestral.ts'
import { combine } from './combination.ts'
import { type AncestralOptions, checkAncestral } from './euler-ancestral.ts'
import { constantly, difference, exponentialStep } from './exponential.ts'
import { noise, predict, type Sampler, sampler } from './sampler.ts'

/** Groups of three calls, then one of two and one of one, or of what is left: so many that the calls are as many as asked for. */
const groups = (calls: number): readonly number[] => {
  if (calls < 3) return calls === 0 ? [] : [calls]
  const whole = Math.floor(calls / 3) + 1
  const threes = (n: number): readonly number[] => Array.from({ length: Math.max(n, 0) }, () => 3)
  return calls % 3 === 0 ? [...threes(whole - 2), 2, 1] : [...threes(whole - 1), calls % 3]
}

/**
 * DPM-Solver-fast (Lu et al. 2022, section 3.4): groups of one to three calls, evenly spaced in lambda between the first level and the
 * last, wherever the levels between lie; as many calls as there are steps. A step to the data is one call
 * more, of first order.
 *
 * Source: `sample_dpm_fast` in k-diffusion, `k_diffusion/sampling.py`.
 */
export const dpmFast = (options: AncestralOptions = {}): Sampler =>
  sampler({
    name: 'dpm-fast',
    order: 2,
    checks: checkAncestral(options),
    *walk({ transitions, start, between }) {
      const { eta = 0, inflate = 1 } = options
      const [first, final] = [transitions[0]?.here, transitions.at(-1)]
      if (first === undefined || final === undefined) return start
      const toData = final.next.sigma === 0
      const last = toData ? final.here : final.next
      const planned = groups(transitions.length - (toData ? 1 : 0))
      const [from, to] = [lambdaOf(first), lambdaOf(last)]
      const at = (share: number) => between(Math.exp(-(from + share * (to - from))))
      let x = start
      for (const [i, order] of planned.entries()) {
        const [here, next] = [
          i === 0 ? first : at(i / planned.length),
          i === planned.length - 1 ? last : at((i + 1) / planned.length),
        ]
        const { down, up } = ancestral(here, next, eta)
        const stage = (share: number) => between(ratioOf(here) ** (1 - share) * ratioOf(down) ** share)
        const said = yield* predict(here, x)
        const whole = exponentialStep('eps', here, down)
        const base = constantly(whole, said.x, said.eps)
        if (order === 1) x = base
        else {
          const r1 = order === 2 ? 1 / 2 : 1 / 3
          const one = stage(r1)
          const early = yield* predict(one, constantly(exponentialStep('eps', here, one), said.x, said.eps))
          if (order === 2) x = combine([1, base], [whole.first.midpoint, difference(early.eps, said.eps, r1)])
          else {
            const two = stage(2 / 3)
            const step = exponentialStep('eps', here, two)
            const further = combine(
              [1, constantly(step, said.x, said.eps)],
              [step.first.heun, difference(early.eps, said.eps, 1 / 2)],
            )
            const late = yield* predict(two, further)
            x = combine([1, base], [whole.first.heun, difference(late.eps, said.eps, 2 / 3)])
          }
        }
        x = combine([1, x], [up * inflate, yield* noise()])
      }
      if (!toData) return x
      const said = yield* predict(last, x)
      return combine([final.next.alpha, said.x0])
    },
  })
