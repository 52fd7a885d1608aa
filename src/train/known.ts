import type { Dataset } from '../data/dataset.ts'
import { type LatentError, showErrors } from '../error.ts'
import type { Conditioner } from '../experiment/conditioning.ts'
import type { Problems } from '../experiment/problems.ts'
import { E } from '../prelude.ts'

/** What is known of a run's pictures beside their pixels, as its model takes it. */

type Known = Pick<Dataset, 'n' | 'about'>

const mostNamed = 10
/** A condition on what is known of pictures needs it of each. */
export const knownRules = ({ known }: Conditioner, { n, about }: Known): Problems => {
  if (known === undefined) return []
  const found: LatentError[] = []
  for (let i = 0; i < n && found.length < mostNamed; i++) {
    const own = about(i)
    const read = known.of(own, own.name)
    if (E.isLeft(read)) found.push(...read.left)
  }
  return found
}

/** What is known of pictures, for those who are told it. */
export const knownOf =
  ({ known }: Conditioner, { about }: Known) =>
  (indices: ArrayLike<number>): { readonly known?: Float32Array } => {
    if (known === undefined) return {}
    const rows = Array.from(indices, (i) => {
      const own = about(i)
      const read = known.of(own, own.name)
      // `knownRules` has read them all.
      if (E.isLeft(read)) throw new Error(showErrors(read.left))
      return read.right
    })
    return { known: Float32Array.from(rows.flat()) }
  }
