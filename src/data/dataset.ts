import type { Effect } from '../error.ts'
import { pipe, TE } from '../prelude.ts'
import type { Random } from './batches.ts'
import { permutation } from './batches.ts'
import type { BoxItem } from './boxes.ts'

/** What is known of one picture without looking at it, and what tells it from every other. */
export interface About {
  /** What identifies it: its file's path, its emoji. */
  readonly name: string
  readonly class?: string
  readonly caption?: string
  /** Numbers that are known of it. */
  readonly vector?: readonly number[]
  /** What is where in it. */
  readonly boxes?: readonly BoxItem[]
  /** Size of its file. */
  readonly bytes: number
  /** SHA-256 of its file's content, in hexadecimal; where a label map belongs to it, of both. */
  readonly sha256: string
  /** Pictures of one group are variants or copies of each other: `split` keeps them together. Absent: its own. */
  readonly group?: string
}

/** Pictures and what is known of their pixels, as many rows each as were asked for, in their order. */
export interface Batch {
  /** `[n, channels, height, width]`, in [-1, 1]. */
  readonly pictures: Float32Array
  /** Indices into `classes`. */
  readonly labels?: Int32Array
  /** How much of each pixel a picture covers, `[n, height, width]` in [0, 1]: 0 where it is transparent. */
  readonly coverage?: Float32Array
  /** The label of each pixel, `[n, height, width]`. */
  readonly maps?: Float32Array
  /** What a picture is to follow, `[n, 3, height, width]` in [0, 1]. */
  readonly hints?: Float32Array
}

/** Pictures that are read when they are needed. */
export interface Dataset {
  readonly n: number
  readonly channels: number
  readonly height: number
  readonly width: number
  readonly classes: readonly string[]
  /** Of picture i, from 0. */
  readonly about: (i: number) => About
  /** The pictures at `indices`, in their order. Errors: `file`, where they lie outside of memory. */
  readonly read: (indices: ArrayLike<number>) => Effect<Batch>
  /** What was left out, ignored or guessed on the way to the pictures, a sentence each. */
  readonly notes: readonly string[]
}

/** Pictures that were found, and not decoded yet. */
export interface Found extends Pick<Dataset, 'n' | 'classes'> {
  /** How much memory they will take. */
  readonly bytes: number
  readonly load: Effect<Dataset>
}

/** Finds pictures and decodes them. */
export const loaded = (found: Effect<Found>): Effect<Dataset> =>
  pipe(
    found,
    TE.flatMap(({ load }) => load),
  )

/** The class of every picture as an index into `classes`, where pictures have classes. */
export const labelsOf = ({ n, classes, about }: Pick<Dataset, 'n' | 'classes' | 'about'>): Int32Array | undefined => {
  if (classes.length === 0) return undefined
  const indexOf = new Map(classes.map((name, i) => [name, i]))
  return Int32Array.from({ length: n }, (_, i) => indexOf.get(about(i).class ?? '') ?? 0)
}

/** The dataset of the pictures at `indices`, in their order; the classes stay as they are, and nothing is copied. */
export const select = (dataset: Dataset, indices: ArrayLike<number>): Dataset => ({
  ...dataset,
  n: indices.length,
  about: (i) => dataset.about(indices[i] ?? -1),
  read: (wanted) => dataset.read(Int32Array.from(wanted, (i) => indices[i] ?? -1)),
})

/**
 * Parts a dataset in two, whole groups at a time, chosen by `random`: `heldOut` has `count` pictures, or as many
 * less as groups force (none where groups are single pictures). Where every group has more, `torn` says that groups were
 * parted, for else none could be held out. Both keep the dataset's order.
 */
export const split = (
  dataset: Dataset,
  count: number,
  random: Random,
): { readonly train: Dataset; readonly heldOut: Dataset; readonly torn: boolean } => {
  const groupOf = Array.from({ length: dataset.n }, (_, i) => dataset.about(i).group ?? `${i}`)
  const whole = heldGroups(groupOf, count, random)
  const torn = whole.size === 0 && count > 0
  const single = groupOf.map((_, i) => `${i}`)
  const [names, held] = torn ? [single, heldGroups(single, count, random)] : [groupOf, whole]
  const part = (inside: boolean): Dataset =>
    select(
      dataset,
      Int32Array.from(names.keys()).filter((i) => held.has(names[i] ?? '') === inside),
    )
  return { train: part(false), heldOut: part(true), torn }
}

/** Groups of `count` items at most. */
const heldGroups = (groupOf: readonly string[], count: number, random: Random): ReadonlySet<string> => {
  const sizes = groupOf.reduce((all, group) => all.set(group, (all.get(group) ?? 0) + 1), new Map<string, number>())
  const groups = [...sizes]
  const held = new Set<string>()
  permutation(groups.length, random).reduce((room, index) => {
    const [group, size] = groups[index] ?? ['', Number.POSITIVE_INFINITY]
    if (size > room) return room
    held.add(group)
    return room - size
  }, count)
  return held
}

/** How many pictures are held out where nobody says: the lesser of 100 and a tenth, and one at least. */
export const heldOutOf = (n: number): number => Math.max(1, Math.min(100, Math.floor(n / 10)))

/** A batch `[n, channels, height, width]` with the pictures whose flag is set mirrored left to right. */
export const flipHorizontal = (batch: Float32Array, width: number, flips: readonly boolean[]): Float32Array => {
  const size = batch.length / flips.length
  return batch.map((value, i) => {
    if (flips[Math.floor(i / size)] !== true) return value
    const x = i % width
    return batch[i - x + (width - 1 - x)] ?? value
  })
}
