import { type Key, permutation } from '../distributions/random.ts'
import { type Checked, fail } from '../error.ts'
import { floats, type Value } from '../execute/executor.ts'
import { type Shape, sameShape, showShape, size } from '../graph/types.ts'
import { E } from '../prelude.ts'

export interface Restart {
  /** A code of less usage than this is dead. */
  readonly below: number
}
export interface Restarted {
  /** [entries, dim] */
  readonly codebook: Value
  /** The codes that got a new vector, in rising order: an optimiser's moments of these rows belong to the old ones. */
  readonly codes: readonly number[]
}

const misshaped = (name: string, expected: string, got: Shape): Checked<never> =>
  fail('data', name, expected, showShape(got))

/**
 * A codebook [entries, dim] in which dead codes lie where latents [N, dim, h, w] are: each gets the vector of a position drawn
 * without replacement, or with as few repetitions as there can be. `usage` [entries] is how often each code was chosen, of whatever
 * unit `below` has; all other codes keep their bits. Source: the random restarts of Dhariwal et al. 2020 (Jukebox), section 3.1.
 * Errors: `data` for arrays that do not fit each other.
 *
 * ```ts
 * restartDeadCodes({ below: 1 })(codebook, usage, latents, fold(key(seed), step))
 * ```
 */
export const restartDeadCodes =
  ({ below }: Restart) =>
  (codebook: Value, usage: Value, latents: Value, key: Key): Checked<Restarted> => {
    const [entries = 0, dim = 0] = codebook.shape
    if (codebook.dtype !== 'float32' || codebook.shape.length !== 2)
      return misshaped('codebook', 'float32[entries, dim]', codebook.shape)
    if (!sameShape(usage.shape, [entries])) return misshaped('usage', showShape([entries]), usage.shape)
    const [n = 0, channels, ...sides] = latents.shape
    if (latents.shape.length !== 4 || channels !== dim || size(latents.shape) === 0)
      return misshaped('latents', `at least one of [N, ${dim}, h, w]`, latents.shape)
    const plane = size(sides)
    const codes = Array.from(usage.data, Number).flatMap((used, code) => (used < below ? [code] : []))
    const drawn = permutation(key, n * plane)
    const data = codebook.data.slice()
    codes.forEach((code, i) => {
      const position = drawn[i % drawn.length] ?? 0
      const start = Math.floor(position / plane) * dim * plane + (position % plane)
      for (let c = 0; c < dim; c++) data[code * dim + c] = Number(latents.data[start + c * plane])
    })
    return E.right({ codebook: floats(codebook.shape, data), codes })
  }
