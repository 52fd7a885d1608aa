import type { Random } from '../data/batches.ts'
import type { Dataset } from '../data/dataset.ts'
import { loadEmoji } from '../data/emoji.ts'
import { loadFolder } from '../data/folder.ts'
import { loadLabelMaps } from '../data/labels.ts'
import { bits, fold, key } from '../distributions/random.ts'
import type { Effect } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { size } from '../graph/types.ts'
import type { Items } from './inference.ts'

/** The data of a run, and its chances. */

export const randomOf =
  (seed: number, ...names: readonly string[]): Random =>
  (counter) =>
    bits(
      names.reduce((k, n) => fold(k, n), key(seed)),
      counter,
    )[0]

type Source = Experiment['data']
const loaders: {
  readonly [K in Source['kind']]: (source: Extract<Source, { readonly kind: K }>) => Effect<Dataset>
} = {
  emoji: ({ size: side }) => loadEmoji({ size: side }),
  folder: ({ path, size: side }) => loadFolder(path, { size: side }),
  segmentation: ({ path, ...options }) => loadLabelMaps(path, options),
}
const loaded = <K extends Source['kind']>(kind: K, source: Extract<Source, { readonly kind: K }>): Effect<Dataset> =>
  loaders[kind](source)

/** The pictures of an experiment. */
export const loadData = ({ data }: Experiment): Effect<Dataset> => loaded(data.kind, data)

export const itemsOf = ({ pictures, n, channels, height, width }: Dataset): Items => ({
  n,
  shape: [channels, height, width],
  data: pictures,
})

/** The items at `indices`, in their order. */
export const rows = (items: Items, indices: ArrayLike<number>): Float32Array => {
  const each = size(items.shape)
  const out = new Float32Array(indices.length * each)
  Array.from(indices).forEach((index, i) => {
    out.set(items.data.subarray(index * each, (index + 1) * each), i * each)
  })
  return out
}
