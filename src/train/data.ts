import type { Random } from '../data/batches.ts'
import type { Dataset } from '../data/dataset.ts'
import { loadEmoji } from '../data/emoji.ts'
import { loadFolder } from '../data/folder.ts'
import { loadLabelMaps, withLabelMaps } from '../data/labels.ts'
import { bits, fold, key } from '../distributions/random.ts'
import { type Checked, type Effect, fail } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { size } from '../graph/types.ts'
import { E, pipe, TE } from '../prelude.ts'
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
  readonly [K in Source['kind']]: (
    source: Extract<Source, { readonly kind: K }>,
    wanted: { readonly coverage: boolean },
  ) => Effect<Dataset>
} = {
  emoji: ({ size: side }, wanted) => loadEmoji({ size: side, ...wanted }),
  folder: ({ path, size: side }, wanted) => loadFolder(path, { size: side, ...wanted }),
  segmentation: ({ path, ...options }) => loadLabelMaps(path, options),
}
const loaded = <K extends Source['kind']>(
  kind: K,
  source: Extract<Source, { readonly kind: K }>,
  wanted: { readonly coverage: boolean },
): Effect<Dataset> => loaders[kind](source, wanted)

/** Transparency that weighs pixels must be there: without it all would weigh alike. */
const transparent = (dataset: Dataset): Checked<Dataset> =>
  dataset.coverage?.every((x) => x === 1) === true
    ? fail('data', '/firstStage/loss/weights', 'pictures with transparency', 'opaque ones')
    : E.right(dataset)

/** The pictures of an experiment, with what its first stage asks for beside them. Errors: `data`, `file`. */
export const loadData = ({ data, firstStage }: Experiment): Effect<Dataset> => {
  const coverage = firstStage.kind === 'kl' && firstStage.loss.weights?.kind === 'transparency'
  const condition = firstStage.adversarial?.condition
  return pipe(
    loaded(data.kind, data, { coverage }),
    TE.flatMapEither(transparent),
    TE.flatMap(
      condition?.kind === 'label-map'
        ? withLabelMaps(condition.path, { size: data.size, labels: condition.labels })
        : TE.right,
    ),
  )
}

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
