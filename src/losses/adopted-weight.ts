import { about, type Decoded, describedRecord, number, withDefault, word } from '../schema.ts'

/** What a training run counts. */
export const progressUnits = ['steps', 'epochs', 'samples'] as const
/** How far a training run has come, in every unit. A step is one batch, whatever number of optimisers it moves. */
export type Progress = Readonly<Record<(typeof progressUnits)[number], number>>

/** A factor of a term, which may turn it around. */
const factor = number({ min: -1e6, max: 1e6 })
const moment = number({ min: 0, max: 1e12 })

/** A weight that is adopted once training has come to `start`, as in `adopt_weight` of taming/modules/losses/vqperceptual.py. */
export const adoptedWeight = describedRecord(
  {
    start: about(
      'When the weight is adopted, in units of "unit": late enough that reconstructions are passable, or the contest is lost from the start.',
      moment,
      1000,
    ),
    unit: about('What start and ramp count: steps, epochs of the data, or samples seen.', word(progressUnits)),
  },
  {
    weight: about('The weight from start on, after the ramp.', withDefault(factor, 1)),
    before: about('The weight until start.', withDefault(factor, 0)),
    ramp: about('How long the way from before to weight is, in the same unit; 0 for a jump.', withDefault(moment, 0)),
  },
)
/** `adoptedWeight`, decoded. */
export type AdoptedWeight = Decoded<typeof adoptedWeight>

/** The weight at a moment; the loop feeds it to the step. */
export const weightAt =
  ({ start, unit, weight, before, ramp }: AdoptedWeight) =>
  (progress: Progress): number => {
    const since = progress[unit] - start
    if (since < 0) return before
    return since >= ramp ? weight : before + (weight - before) * (since / ramp)
  }
