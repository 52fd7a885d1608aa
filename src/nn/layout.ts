import { buffer, isTensor, parameter, part, reshape, type Tensor, topological, transpose } from '../declare/index.ts'
import type { Attributes } from '../graph/ops.ts'
import { pipe, RR } from '../prelude.ts'
import { substitution } from '../transform/index.ts'

/** Where one of our arrays lies in a file that names or lays out its arrays otherwise. */
export interface Place {
  readonly key: string
  /** Ours are these rows of the file's array, which packs several. */
  readonly rows?: readonly [from: number, to: number]
  /** The file's matrix is ours, transposed. */
  readonly transpose?: boolean
  /** Ours is a 1x1 convolution's [out, in, 1, 1], the file's a matrix [out, in]. */
  readonly matrix?: boolean
}
/** How files of one kind are laid out: the place of each of our names; undefined for what such a file does not hold. */
export type Layout = (name: string) => Place | undefined

interface Placed extends Place {
  readonly leaf: Attributes['parameter']
}

/** The file's array that holds these of ours. */
const whole = (
  key: string,
  { leaf, transpose: turned = false, matrix = false }: Placed,
  parts: readonly Placed[],
): Tensor => {
  const shape = matrix ? leaf.shape.slice(0, 2) : leaf.shape
  const [own = 1, ...rest] = turned ? shape.toReversed() : shape
  const rows = Math.max(...parts.map((p) => p.rows?.[1] ?? own))
  return (leaf.trainable ? parameter : buffer)('', key, [rows, ...rest], leaf.init)
}
const taken = ({ rows, transpose: turned = false, matrix = false, leaf }: Placed, from: Tensor): Tensor => {
  const own = rows === undefined ? from : part(from, 0, rows[0], rows[1] - rows[0])
  const stood = turned ? pipe(own, transpose(1, 0)) : own
  return matrix ? pipe(stood, reshape(...leaf.shape)) : stood
}

/**
 * Expressions over the arrays as a file of that layout holds them, instead of over ours: the same network, trained and saved in
 * another's layout. Names that have no place stay.
 */
export const inLayout =
  (layout: Layout) =>
  <K extends string>(outputs: Readonly<Record<K, Tensor>>): Readonly<Record<K, Tensor>> => {
    const roots = Object.values<Tensor>(outputs)
    const parts = new Map<string, Placed[]>()
    for (const { attributes: leaf } of topological(roots).filter(isTensor('parameter'))) {
      const place = layout(leaf.name)
      if (place !== undefined) parts.set(place.key, [...(parts.get(place.key) ?? []), { ...place, leaf }])
    }
    const standing = [...parts].flatMap(([key, placed]) => {
      const [first] = placed
      if (first === undefined) return []
      const array = whole(key, first, placed)
      return placed.map((p) => [p.leaf.name, taken(p, array)] as const)
    })
    return pipe(outputs, RR.map(substitution(Object.fromEntries(standing), roots)))
  }
