import { mostSigmaRel } from '../optimizers/index.ts'
import { type Decoded, integer, list, number, record, withDefault } from '../schema.ts'

/** Averages by powers of time that are stored as training goes, for others to be made of them (Karras et al. 2024). */
export const postHocEma = record(
  {},
  {
    /** Relative widths of what is stored. */
    sigmaRel: withDefault(
      list(number({ min: 0.01, max: Math.floor(100 * mostSigmaRel) / 100 }), { min: 1, max: 4 }),
      [0.05, 0.1],
    ),
    /** Steps from one snapshot to the next; the last step leaves one too. */
    every: withDefault(integer({ min: 1, max: 1e9 }), 500),
  },
)
export type PostHocEma = Decoded<typeof postHocEma>
