import type { Level } from '../schedulers/path.ts'
import { combine } from './combination.ts'
import { number } from './options.ts'
import { noise, predict, type Sampler, sampler } from './sampler.ts'

/** Options of `repaint`. */
export interface RepaintOptions {
  /** How many levels x is lifted again. */
  readonly jump?: number
  /** How often each part of the walk is walked; 1 is DDIM with eta. */
  readonly resample?: number
  /** The noise of each step, as of DDIM; 1 is DDPM. */
  readonly eta?: number
}
/** Those of the paper. */
export const repaintDefaults = { jump: 10, resample: 10, eta: 1 } as const

/**
 * The order in which levels are visited, counted from the first: whenever a multiple of `jump` is left before the last level but one, x
 * goes back up as many, until that part was walked `resample` times (Lugmayr et al. 2022, appendix B).
 */
const visits = (steps: number, { jump, resample }: Required<Omit<RepaintOptions, 'eta'>>): readonly number[] => {
  const places: number[] = [0]
  const lifted = new Map<number, number>()
  for (let at = 0; at < steps; ) {
    places.push(++at)
    const times = lifted.get(at) ?? 0
    if (at === steps || at < jump || (steps - 1 - at) % jump !== 0 || times === resample - 1) continue
    lifted.set(at, times + 1)
    at -= jump
    places.push(at)
  }
  return places
}

/**
 * Sampling beside a known part (Lugmayr et al. 2022, algorithm 1): now and then x is noised again by some levels, so that what is
 * drawn can fit what is known. One lift of several levels has the distribution of as many single ones, and together with the noise
 * of the step before it is one draw.
 */
export const repaint = (options: RepaintOptions = {}): Sampler => {
  const { jump, resample, eta } = { ...repaintDefaults, ...options }
  return sampler({
    name: 'repaint',
    order: 0,
    pureNoise: 'taken',
    checks: [
      number('/jump', jump, { min: 1 }),
      number('/resample', resample, { min: 1 }),
      number('/eta', eta, { min: 0, max: 1 }),
    ],
    *walk({ transitions, start }) {
      const [first] = transitions
      if (first === undefined) return start
      const levels: readonly Level[] = [first.here, ...transitions.map(({ next }) => next)]
      const places = visits(transitions.length, { jump, resample })
      const at = (i: number): Level => levels[places[i] ?? 0] ?? first.here
      let x = start
      for (let i = 0; i + 1 < places.length; i++) {
        const [here, next] = [at(i), at(i + 1)]
        const { x0, eps } = yield* predict(here, x)
        const fresh = Math.max(here.sigma ** 2 - ((here.alpha / next.alpha) * next.sigma) ** 2, 0)
        const spread = eta * (next.sigma / here.sigma) * Math.sqrt(fresh)
        const direction = Math.sqrt(Math.max(next.sigma ** 2 - spread ** 2, 0))
        const above = at(i + 2)
        const lifts = i + 2 < places.length && above.sigma > next.sigma
        const lift = lifts ? above.alpha / next.alpha : 1
        const added = lifts ? Math.sqrt(Math.max(above.sigma ** 2 - (lift * next.sigma) ** 2, 0)) : 0
        x = combine(
          [lift * next.alpha, x0],
          [lift * direction, eps],
          [Math.hypot(lift * spread, added), yield* noise()],
        )
        if (lifts) i++
      }
      return x
    },
  })
}
