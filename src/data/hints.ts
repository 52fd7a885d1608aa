import type { Effect } from '../error.ts'
import { pipe, TE } from '../prelude.ts'
import type { Dataset, Found } from './dataset.ts'
import { findFolder } from './folder.ts'
import { paired } from './paired.ts'

/** Pictures that others are to follow: edges, poses, depths, of the same size. */

/** What is said of hints is told from what is said of pictures. */
const told = (hints: Dataset): Dataset => ({ ...hints, notes: hints.notes.map((note) => `hints: ${note}`) })

/** Pictures with their hints, which a folder has under the same names. Errors: `data`, a picture without one, or with two; `file`. */
export const withHints =
  (dir: string, { size }: { readonly size: number }) =>
  (pictures: Found): Effect<Found> =>
    pipe(
      findFolder(dir, { size }),
      TE.map((hints) =>
        paired(
          { dir, what: 'hint', put: (colours) => ({ hints: colours.map((x) => (x + 1) / 2) }) },
          { ...hints, load: pipe(hints.load, TE.map(told)) },
        )(pictures),
      ),
    )
