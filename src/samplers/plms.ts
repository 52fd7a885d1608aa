import type { Level } from '../schedulers/path.ts'
import { type Combination, combine } from './combination.ts'
import {
  type Planning,
  type Prediction,
  predict,
  type Sampler,
  sampler,
  type Transition,
  type Walk,
} from './sampler.ts'

/** Adams and Bashforth's factors for the predictions of the last 1 to 4 steps, the newest first (Liu et al. 2022, equation 12). */
const adamsBashforth = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
] as const

/** Options of `plms`. */
export interface PlmsOptions {
  /** What of the predictions is averaged: `eps`, or `v` of a network that predicts it (diffusers). */
  readonly averages?: 'eps' | 'v'
  /**
   * Every step goes so many timesteps down, whichever timestep is visited next (diffusers' T // S); to the next where left out. With
   * it each transition is one call of the network: the second timestep stands there twice, but in a part of a walk that begins behind it.
   */
  readonly stride?: number
  /** Whether the first three steps are Runge and Kutta's, of four calls each (diffusers' `skip_prk_steps: false`). */
  readonly rungeKutta?: boolean
}

/** From one level to another along an averaged prediction (Liu et al. 2022, equation 11). */
const transfer = (
  averages: 'eps' | 'v',
  { here, next }: Transition,
  x: Combination,
  average: Combination,
): Combination => {
  const eps = averages === 'eps' ? average : combine([here.alpha, average], [here.sigma, x])
  const kept = next.alpha / here.alpha
  return combine([kept, x], [next.sigma - kept * here.sigma, eps])
}
const averaged = (averages: 'eps' | 'v', { here }: Pick<Transition, 'here'>, { x0, eps }: Prediction): Combination =>
  averages === 'eps' ? eps : combine([here.alpha, eps], [-here.sigma, x0])

/** `PNDMScheduler.step_plms`, call by call: the second one repeats the first step with the mean of both predictions. */
function* byCalls(
  averages: 'eps' | 'v',
  stride: number,
  { transitions, start, at }: Pick<Walk, 'transitions' | 'start' | 'at'>,
): Planning<Combination> {
  let x = start
  let first = start
  let past: readonly Combination[] = []
  for (const [call, { here }] of transitions.entries()) {
    const asked = yield* predict(here, x)
    const now = averaged(averages, { here }, asked)
    const second = call === 1
    const [before = now] = past
    if (!second) past = [now, ...past].slice(0, 4)
    const factors = adamsBashforth[past.length - 1] ?? adamsBashforth[3]
    const average = second
      ? combine([1 / 2, now], [1 / 2, before])
      : combine(...past.map((p, j) => [factors[j] ?? 0, p] as const))
    const [from, to] = second ? [at(here.t + stride), here] : [here, at(here.t - stride)]
    if (call === 0) first = asked.x
    x = transfer(averages, { here: from, next: to }, second ? first : asked.x, average)
  }
  return x
}

/**
 * Pseudo linear multistep (Liu et al. 2022): the noise predictions of the last four steps, averaged, in the place of one. The first
 * step calls the network twice, as Heun's does; later ones once.
 *
 * Source: `PLMSSampler` in CompVis latent-diffusion, `ldm/models/diffusion/plms.py`; `PNDMScheduler` in diffusers.
 */
export const plms = ({ averages = 'eps', stride, rungeKutta = false }: PlmsOptions = {}): Sampler =>
  sampler({
    name: rungeKutta ? 'pndm' : 'plms',
    order: 2,
    *walk({ transitions, start, at }) {
      const move = (here: Level, next: Level, x: Combination, average: Combination) =>
        transfer(averages, { here, next }, x, average)
      const said = (here: Level, p: Prediction) => averaged(averages, { here }, p)
      if (stride !== undefined && !rungeKutta) return yield* byCalls(averages, stride, { transitions, start, at })
      let x = start
      let past: readonly Combination[] = []
      for (const [i, transition] of transitions.entries()) {
        const { here } = transition
        const next = stride === undefined ? transition.next : at(here.t - stride)
        const following = transitions[i + 1]?.here ?? transition.next
        const asked = yield* predict(here, x)
        const now = said(here, asked)
        if (rungeKutta && i < 3) {
          const half = Math.floor((stride ?? here.t - following.t) / 2)
          const told = at(following.t + half)
          const early = said(told, yield* predict(told, move(here, at(here.t - half), asked.x, now)))
          const later = said(told, yield* predict(told, move(here, told, asked.x, early)))
          const last = said(following, yield* predict(following, move(here, at(told.t - half), asked.x, later)))
          past = [now, ...past]
          x = move(here, following, asked.x, combine([1 / 6, now], [1 / 3, early], [1 / 3, later], [1 / 6, last]))
        } else if (past.length === 0) {
          const there = transitions[i + 1]?.here ?? (next.sigma > 0 ? next : here)
          const ahead = said(there, yield* predict(there, move(here, next, asked.x, now)))
          past = [now]
          x = move(here, next, asked.x, combine([1 / 2, now], [1 / 2, ahead]))
        } else {
          past = [now, ...past].slice(0, 4)
          const factors = adamsBashforth[past.length - 1] ?? adamsBashforth[3]
          x = move(here, next, asked.x, combine(...past.map((p, j) => [factors[j] ?? 0, p] as const)))
        }
      }
      return x
    },
  })
