import { type Decoded, number, record, withDefault, word } from '../schema.ts'

/** What a training run counts. */
export const progressUnits = ['steps', 'epochs', 'samples'] as const
/** How far a training run has come, in every unit. A step is one batch, whatever number of optimisers it moves. */
export type Progress = Readonly<Record<(typeof progressUnits)[number], number>>

/** A weight that is adopted once training has come to `start`, as in `adopt_weight` of taming/modules/losses/vqperceptual.py. */
export const adoptedWeight = record(
  { start: number({ min: 0 }), unit: word(progressUnits) },
  {
    weight: withDefault(number(), 1),
    before: withDefault(number(), 0),
    /** How long the way from `before` to `weight` is, in the same unit; 0 for a jump. */
    ramp: withDefault(number({ min: 0 }), 0),
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
