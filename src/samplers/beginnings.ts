import { type Checked, fail } from '../error.ts'
import { floats, type Value } from '../execute/executor.ts'
import { size } from '../graph/types.ts'
import { E } from '../prelude.ts'
import type { Level } from '../schedulers/path.ts'

/** What a walk begins with, other than noise from its first level. */

/** x_t = alpha x_0 + sigma eps at a level, of arrays of one shape. */
export const noised = ({ alpha, sigma }: Level, x0: Value, eps: Value): Value =>
  floats(
    x0.shape,
    Float64Array.from(x0.data, (x, i) => alpha * x + sigma * (eps.data[i] ?? 0)),
  )

/**
 * The last levels of a walk, by strength: at 1 all of them, at 0 only the data; floor(strength S) steps, but one at least (SDEdit,
 * Meng et al. 2022; as diffusers counts). Errors (`config`, at `/strength`).
 */
export const lastPart =
  (strength: number) =>
  (levels: readonly Level[]): Checked<readonly Level[]> => {
    if (!(strength >= 0 && strength <= 1)) return fail('config', '/strength', 'a number in [0, 1]', String(strength))
    const steps = levels.length - 1
    const left = strength === 0 ? 0 : Math.max(1, Math.floor(strength * steps + 1e-9))
    return E.right(levels.slice(steps - left))
  }

/** Nearly parallel arrays, whose angle cannot be told. */
const parallel = 0.9995

/**
 * Spherical interpolation of each item, from a at 0 to b at 1 (Shoemake 1985): between two draws of N(0, I) it is as long as such a
 * draw is. A share for each item.
 */
export const slerp = (a: Value, b: Value, shares: readonly number[]): Value => {
  const each = size(a.shape.slice(1))
  const out = new Float64Array(a.data.length)
  for (const [item, share] of shares.entries()) {
    const from = item * each
    let [dot, ofA, ofB] = [0, 0, 0]
    for (let i = from; i < from + each; i++) {
      const [x = 0, y = 0] = [a.data[i], b.data[i]]
      dot += x * y
      ofA += x * x
      ofB += y * y
    }
    const cosine = dot / Math.sqrt(ofA * ofB)
    const angle = Math.acos(Math.max(-1, Math.min(1, cosine)))
    const [keep, take] =
      Math.abs(cosine) < parallel
        ? [Math.sin((1 - share) * angle) / Math.sin(angle), Math.sin(share * angle) / Math.sin(angle)]
        : [1 - share, share]
    for (let i = from; i < from + each; i++) out[i] = keep * (a.data[i] ?? 0) + take * (b.data[i] ?? 0)
  }
  return floats(a.shape, out)
}
