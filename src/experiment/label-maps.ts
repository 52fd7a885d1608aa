import { about, describedRecord, integer, nonEmpty } from '../schema.ts'

/** Label maps as documents declare them. */

export const labels = about(
  'How many labels there are: grey values of the maps are below it.',
  integer({ min: 2, max: 256 }),
  8,
)
export const labelMapFields = describedRecord({
  path: about(
    "A folder of label maps under the pictures' names: a pixel's grey value is its label. Relative to the experiment's file.",
    nonEmpty,
    '../my-label-maps',
  ),
  labels,
})
