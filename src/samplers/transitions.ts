import { type Checked, collect, fail } from '../error.ts'
import { E } from '../prelude.ts'
import type { Column, NoiseSchedule } from '../schedulers/noise-schedule.ts'

/**
 * A step of a sampler, from one timestep to an earlier one; to -1 is to the data. Many steps of `quad` visit small
 * timesteps twice: such a step stays where it is.
 */
export interface Transition {
  readonly from: number
  readonly to: number
}

/** The way down through timesteps given in rising order; the last transition is to the data. */
export const descend = (timesteps: Column): readonly Transition[] =>
  timesteps.map((from, i) => ({ from, to: timesteps[i - 1] ?? -1 })).toReversed()

/**
 * diffusers' way: from each timestep a fixed stride down, floor(T / S), whichever timestep is visited next; past 0 it is to
 * the data.
 */
export const descendBy =
  (stride: number) =>
  (timesteps: Column): readonly Transition[] =>
    timesteps.map((from) => ({ from, to: Math.max(from - stride, -1) })).toReversed()

/**
 * The earlier part of rising timesteps that CompVis' DDIM samples when asked for `count` of them: one less than `count`
 * (`ddim_sampling` with `timesteps`).
 */
export const compVisSubset = (timesteps: Column, count: number): Column =>
  timesteps.slice(0, Math.max(Math.trunc(Math.min(count / timesteps.length, 1) * timesteps.length) - 1, 0))

/** Transitions inside the schedule, none to a later timestep. Errors (`config`) at `/<step>`. */
export const checkTransitions = (
  { timesteps }: NoiseSchedule,
  transitions: readonly Transition[],
): Checked<readonly Transition[]> =>
  collect(
    transitions.map((step, i): Checked<Transition> => {
      const inside = Number.isInteger(step.from) && step.from >= 0 && step.from < timesteps
      const down = Number.isInteger(step.to) && step.to >= -1 && step.to <= step.from
      return inside && down
        ? E.right(step)
        : fail(
            'config',
            `/${i}`,
            `a step from a timestep in [0, ${timesteps - 1}] to none above it`,
            `${step.from} to ${step.to}`,
          )
    }),
  )

/** alpha-bar of a timestep; 1 at the data. */
export const alphaBar = ({ alphasCumprod }: NoiseSchedule, t: number): number =>
  t < 0 ? 1 : (alphasCumprod[t] ?? Number.NaN)
