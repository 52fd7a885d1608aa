import type { Random } from './batches.ts'
import { permutation } from './batches.ts'

/** What is known of one picture without looking at it, and what tells it from every other. */
export interface About {
  /** What identifies it: its file's path, its emoji. */
  readonly name: string
  readonly class?: string
  readonly caption?: string
  /** Size of its file. */
  readonly bytes: number
  /** SHA-256 of its file's content, in hexadecimal; where a label map belongs to it, of both. */
  readonly sha256: string
}

export type FileFacts = Pick<About, 'bytes' | 'sha256'>

/** Pictures in memory and what is known about each. All arrays that are present have `n` rows. */
export interface Dataset {
  /** `[n, channels, height, width]`, in [-1, 1]. */
  readonly pictures: Float32Array
  readonly n: number
  /** Of picture i. */
  readonly about: (i: number) => About
  readonly channels: number
  readonly height: number
  readonly width: number
  /** Indices into `classes`. */
  readonly labels?: Int32Array
  readonly classes: readonly string[]
  readonly captions?: readonly string[]
  /** What identifies each picture: its file's path, its emoji. */
  readonly names: readonly string[]
  /** How much of each pixel a picture covers, `[n, height, width]` in [0, 1]: 0 where it is transparent. */
  readonly coverage?: Float32Array
  /** The label of each pixel, `[n, height, width]`. */
  readonly maps?: Float32Array
  /** Pictures of one group are variants of each other: `split` keeps them together. Absent: each is its own. */
  readonly groups?: readonly string[]
}

/** How many values one picture has. */
export const pictureSize = ({ channels, height, width }: Pick<Dataset, 'channels' | 'height' | 'width'>): number =>
  channels * height * width

/** Rows of `size` values each, at `indices`, in their order. */
export const gatherRows = (rows: Float32Array, size: number, indices: ArrayLike<number>): Float32Array => {
  const batch = new Float32Array(indices.length * size)
  Array.from(indices).forEach((index, i) => {
    batch.set(rows.subarray(index * size, (index + 1) * size), i * size)
  })
  return batch
}

/** The pictures at `indices`, in their order, as `[indices.length, channels, height, width]`. */
export const gather = (dataset: Dataset, indices: ArrayLike<number>): Float32Array =>
  gatherRows(dataset.pictures, pictureSize(dataset), indices)

/** The same of one value a pixel, `[indices.length, height, width]`. */
export const gatherPlanes = (
  { height, width }: Pick<Dataset, 'height' | 'width'>,
  planes: Float32Array,
  indices: ArrayLike<number>,
): Float32Array => gatherRows(planes, height * width, indices)

const nameless: About = { name: '', bytes: 0, sha256: '' }

/** The facts of pictures, put together from columns of `n` rows. */
export const aboutOf =
  ({
    names,
    classes,
    labels,
    captions,
    files,
  }: Pick<Dataset, 'names' | 'classes' | 'labels' | 'captions'> & { readonly files: readonly FileFacts[] }) =>
  (i: number): About => {
    const [name, file, label, caption] = [names[i], files[i], labels?.[i], captions?.[i]]
    const of = label === undefined ? undefined : classes[label]
    return name === undefined || file === undefined
      ? nameless
      : { name, ...file, ...(of === undefined ? {} : { class: of }), ...(caption === undefined ? {} : { caption }) }
  }

const pick = (texts: readonly string[], indices: readonly number[]): readonly string[] =>
  indices.flatMap((i) => texts.slice(i, i + 1))

/** The dataset of the pictures at `indices`, in their order; the classes stay as they are. */
export const select = (dataset: Dataset, indices: readonly number[]): Dataset => ({
  ...dataset,
  n: indices.length,
  about: (i) => dataset.about(indices[i] ?? -1),
  pictures: gather(dataset, indices),
  names: pick(dataset.names, indices),
  ...(dataset.labels === undefined ? {} : { labels: Int32Array.from(indices, (i) => dataset.labels?.[i] ?? 0) }),
  ...(dataset.coverage === undefined ? {} : { coverage: gatherPlanes(dataset, dataset.coverage, indices) }),
  ...(dataset.maps === undefined ? {} : { maps: gatherPlanes(dataset, dataset.maps, indices) }),
  ...(dataset.captions === undefined ? {} : { captions: pick(dataset.captions, indices) }),
  ...(dataset.groups === undefined ? {} : { groups: pick(dataset.groups, indices) }),
})

/**
 * Parts a dataset in two, whole groups at a time, chosen by `random`: `heldOut` has `count` pictures, or as many
 * less as groups force (none where groups are single pictures). Both keep the dataset's order.
 */
export const split = (
  dataset: Dataset,
  count: number,
  random: Random,
): { readonly train: Dataset; readonly heldOut: Dataset } => {
  const groupOf = dataset.groups ?? dataset.names.map((_, i) => `${i}`)
  const sizes = groupOf.reduce((all, group) => all.set(group, (all.get(group) ?? 0) + 1), new Map<string, number>())
  const groups = [...sizes]
  const held = new Set<string>()
  permutation(groups.length, random).reduce((room, index) => {
    const [group, size] = groups[index] ?? ['', Number.POSITIVE_INFINITY]
    if (size > room) return room
    held.add(group)
    return room - size
  }, count)
  const part = (inside: boolean): Dataset =>
    select(
      dataset,
      groupOf.flatMap((group, i) => (held.has(group) === inside ? [i] : [])),
    )
  return { train: part(false), heldOut: part(true) }
}

/** A batch `[n, channels, height, width]` with the pictures whose flag is set mirrored left to right. */
export const flipHorizontal = (batch: Float32Array, width: number, flips: readonly boolean[]): Float32Array => {
  const size = batch.length / flips.length
  return batch.map((value, i) => {
    if (flips[Math.floor(i / size)] !== true) return value
    const x = i % width
    return batch[i - x + (width - 1 - x)] ?? value
  })
}
