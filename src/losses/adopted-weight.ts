import { type Decoded, number, record, withDefault, word } from '../schema.ts'

/** What a training run counts. */
export const progressUnits = ['steps', 'epochs', 'samples'] as const
/** How far a training run has come, in every unit. A step is one batch, whatever number of optimisers it moves. */
export type Progress = Readonly<Record<(typeof progressUnits)[number], number>>

/** A weight that is adopted once training has come to `start`, as in `adopt_weight` of taming/modules/losses/vqperceptual.py. */
/** A factor of a term, which may turn it around. */
const factor = number({ min: -1e6, max: 1e6 })
const moment = number({ min: 0, max: 1e12 })

export const adoptedWeight = record(
  { start: moment, unit: word(progressUnits) },
  {
    weight: withDefault(factor, 1),
    before: withDefault(factor, 0),
    /** How long the way from `before` to `weight` is, in the same unit; 0 for a jump. */
    ramp: withDefault(moment, 0),
  },
)
export type AdoptedWeight = Decoded<typeof adoptedWeight>

/** The weight at a moment; the loop feeds it to the step. */
export const weightAt =
  ({ start, unit, weight, before, ramp }: AdoptedWeight) =>
  (progress: Progress): number => {
    const since = progress[unit] - start
    if (since < 0) return before
    return since >= ramp ? weight : before + (weight - before) * (since / ramp)
  }
