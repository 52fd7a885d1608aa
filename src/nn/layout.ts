import {
  buffer,
  concat,
  isTensor,
  parameter,
  part,
  reshape,
  type Tensor,
  topological,
  transpose,
} from '../declare/index.ts'
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
  /** Ours is a convolution's, the file's a matrix [out, in]: so many axes of one place more, [out, in, 1] or [out, in, 1, 1]. */
  readonly trailing?: 1 | 2
  /** Ours packs several of the file's arrays, of which `key` is the first. */
  readonly joined?: Joined
}
/** Rows of several arrays: so many runs, each with its share of every array in turn. One run is the arrays one under the other. */
export interface Joined {
  readonly keys: readonly string[]
  readonly runs: number
}
/** The arrays of a file that a place is made of. */
export const keysAt = ({ key, joined }: Place): readonly string[] => joined?.keys ?? [key]

/** For each run of each array in turn: which array, and which of its runs. */
export const runsOf = ({ keys, runs }: Joined): readonly (readonly [array: number, run: number])[] =>
  Array.from({ length: runs }, (_, run) => keys.map((__, array) => [array, run] as const)).flat()
/** How files of one kind are laid out: the place of each of our names; undefined for what such a file does not hold. */
export type Layout = (name: string) => Place | undefined

interface Placed extends Place {
  readonly leaf: Attributes['parameter']
}

/** The file's array that holds these of ours. */
const whole = (
  key: string,
  { leaf, transpose: turned = false, trailing }: Placed,
  parts: readonly Placed[],
): Tensor => {
  const shape = leaf.shape.slice(0, leaf.shape.length - (trailing ?? 0))
  const [own = 1, ...rest] = turned ? shape.toReversed() : shape
  const rows = Math.max(...parts.map((p) => p.rows?.[1] ?? own))
  return (leaf.trainable ? parameter : buffer)('', key, [rows, ...rest], leaf.init)
}
const taken = ({ rows, transpose: turned = false, trailing, leaf }: Placed, from: Tensor): Tensor => {
  const own = rows === undefined ? from : part(from, 0, rows[0], rows[1] - rows[0])
  const stood = turned ? pipe(own, transpose(1, 0)) : own
  return trailing !== undefined ? pipe(stood, reshape(...leaf.shape)) : stood
}

/** Several of the file's arrays as ours, which packs them. */
const packed = (placed: Placed, { keys, runs }: Joined): Tensor => {
  const { leaf, trailing } = placed
  const [rows = 0, ...rest] = leaf.shape.slice(0, leaf.shape.length - (trailing ?? 0))
  const each = rows / keys.length
  const arrays = keys.map((key) => (leaf.trainable ? parameter : buffer)('', key, [each, ...rest], leaf.init))
  const block = each / runs
  const blocks = runsOf({ keys, runs }).flatMap(([array, run]) => {
    const own = arrays[array]
    return own === undefined ? [] : [part(own, 0, run * block, block)]
  })
  return pipe(concat(0, ...blocks), reshape(...leaf.shape))
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
    const joined: (readonly [string, Tensor])[] = []
    for (const { attributes: leaf } of topological(roots).filter(isTensor('parameter'))) {
      const place = layout(leaf.name)
      if (place?.joined !== undefined) joined.push([leaf.name, packed({ ...place, leaf }, place.joined)])
      else if (place !== undefined) parts.set(place.key, [...(parts.get(place.key) ?? []), { ...place, leaf }])
    }
    const standing = [...parts].flatMap(([key, placed]) => {
      const [first] = placed
      if (first === undefined) return []
      const array = whole(key, first, placed)
      return placed.map((p) => [p.leaf.name, taken(p, array)] as const)
    })
    return pipe(outputs, RR.map(substitution(Object.fromEntries([...standing, ...joined]), roots)))
  }
