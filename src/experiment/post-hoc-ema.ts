import { mostSigmaRel } from '../optimizers/index.ts'
import { about, type Decoded, describedRecord, integer, list, number, withDefault } from '../schema.ts'

/** Averages by powers of time that are stored as training goes, for others to be made of them (Karras et al. 2024). */
export const postHocEma = describedRecord(
  {},
  {
    sigmaRel: about(
      'Relative widths of the averages that are stored, as shares of the training so far: wider ones are smoother and lag behind.',
      withDefault(
        list(number({ min: 0.01, max: Math.floor(100 * mostSigmaRel) / 100 }), { min: 1, max: 4 }),
        [0.05, 0.1],
      ),
    ),
    every: about(
      'Steps from one snapshot to the next; the last step leaves one too.',
      withDefault(integer({ min: 1, max: 1e9 }), 500),
    ),
  },
)
export type PostHocEma = Decoded<typeof postHocEma>
