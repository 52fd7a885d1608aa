import type { Random } from '../data/batches.ts'
import { type Dataset, type Found, heldOutOf, loaded, split } from '../data/dataset.ts'
import { findEmoji } from '../data/emoji.ts'
import { findFolder } from '../data/folder.ts'
import { withHints } from '../data/hints.ts'
import { findLabelMaps, withLabelMaps } from '../data/labels.ts'
import { several } from '../data/left-out.ts'
import { findOwn } from '../data/own.ts'
import { findShapes } from '../data/shapes.ts'
import { bits, fold, key } from '../distributions/random.ts'
import { type Checked, type Effect, effect, failure } from '../error.ts'
import { conditionerOf, readsTexts } from '../experiment/conditioning.ts'
import { dataNotes, heldOutRule } from '../experiment/data-rules.ts'
import type { Experiment } from '../experiment/document.ts'
import { labelMapsOf } from '../experiment/label-map-rules.ts'
import { type Own, type OwnData, ownHint } from '../experiment/own.ts'
import { refusing } from '../experiment/problems.ts'
import { diffusedOf, spaceOf } from '../experiment/space.ts'
import { E, pipe, TE } from '../prelude.ts'
import type { Rows } from './inference.ts'
import { toldClasses } from './plan.ts'

/** The data of a run, and its chances. */

export const randomOf =
  (seed: number, ...names: readonly string[]): Random =>
  (counter) =>
    bits(
      names.reduce((k, n) => fold(k, n), key(seed)),
      counter,
    )[0]

type Source = Experiment['data']
/** What pictures are to come with, and the program's own where they are its. */
interface Wanted {
  readonly coverage: boolean
  readonly own: OwnData | undefined
}
const finders: {
  readonly [K in Source['kind']]: (source: Extract<Source, { readonly kind: K }>, wanted: Wanted) => Effect<Found>
} = {
  emoji: ({ size: side, categories }, { coverage }) =>
    findEmoji({ size: side, coverage, ...(categories === undefined ? {} : { categories }) }),
  shapes: (source) => TE.right(findShapes(source)),
  folder: ({ path, size: side }, { coverage }) => findFolder(path, { size: side, coverage }),
  segmentation: ({ path, ...options }) => findLabelMaps(path, options),
  own: ({ size: side }, { own }) =>
    own === undefined
      ? TE.left([
          failure('config', '/data/kind', 'the pictures of the program that defined the experiment', 'none', ownHint),
        ])
      : effect(async (run) => run(findOwn(await own({ size: side }), side))),
}
const foundBy = <K extends Source['kind']>(
  kind: K,
  source: Extract<Source, { readonly kind: K }>,
  wanted: Wanted,
): Effect<Found> => finders[kind](source, wanted)

const batchSize = 256
/** Transparency that weighs pixels must be there: without it all would weigh alike. */
const transparent = (dataset: Dataset): Effect<Dataset> =>
  effect(async (run) => {
    for (let from = 0; from < dataset.n; from += batchSize) {
      const count = Math.min(batchSize, dataset.n - from)
      const { coverage } = await run(dataset.read(Array.from({ length: count }, (_, i) => from + i)))
      if (coverage === undefined || coverage.some((x) => x < 1)) return dataset
    }
    return run(TE.left([failure('data', '/firstStage/loss/weights', 'pictures with transparency', 'opaque ones')]))
  })

/** Captions that do not have the word which is learnt are templates with it. */
const withTemplates =
  ({ diffusion }: Experiment) =>
  (dataset: Dataset): Dataset => {
    const adapter = diffusion?.adapter
    if (adapter?.kind !== 'textual-inversion') return dataset
    const { token, templates } = adapter
    const lacks = (i: number): boolean => dataset.about(i).caption?.includes(token) !== true
    const count = Array.from({ length: dataset.n }, (_, i) => lacks(i)).filter((without) => without).length
    return {
      ...dataset,
      about: (i) =>
        lacks(i)
          ? { ...dataset.about(i), caption: (templates[i % templates.length] ?? '{}').replaceAll('{}', token) }
          : dataset.about(i),
      notes: [
        ...dataset.notes,
        ...(count === 0
          ? []
          : [`captions of ${several(count, 'picture')} are without ${token}: a template with it stands for each`]),
      ],
    }
  }

/** The pictures of an experiment, with what its first stage asks for beside them; not decoded yet. Errors: `data`, `file`. */
export const findData = (e: Experiment, own: Own = {}): Effect<Found> => {
  const { data, firstStage } = e
  const coverage = firstStage.kind === 'kl' && firstStage.loss.weights?.kind === 'transparency'
  const told = e.diffusion && conditionerOf(e.diffusion.conditioning, spaceOf(diffusedOf(e), 0)).pictures
  const adapter = e.diffusion?.adapter
  const maps = labelMapsOf(e, told?.maps)
  return pipe(
    foundBy(data.kind, data, { coverage, own: own.data }),
    TE.flatMap(maps === undefined ? TE.right : withLabelMaps(maps.path, { size: data.size, labels: maps.labels })),
    TE.flatMap(adapter?.kind === 'controlnet' ? withHints(adapter.hints, { size: data.size }) : TE.right),
    TE.map((found) => (coverage ? { ...found, load: pipe(found.load, TE.flatMap(transparent)) } : found)),
    TE.map((found) => ({ ...found, load: pipe(found.load, TE.map(withTemplates(e))) })),
  )
}

/** The pictures of an experiment. Errors: `data`, `file`. */
export const loadData = (e: Experiment): Effect<Dataset> => loaded(findData(e))

/** A dataset's pictures alone. */
export const picturesOf = ({ n, channels, height, width, read }: Dataset): Rows => ({
  n,
  shape: [channels, height, width],
  read: (indices) =>
    pipe(
      read(indices),
      TE.map(({ pictures }) => pictures),
    ),
})

/** A dataset in two, and what is to be said of both. */
export interface Parted {
  readonly train: Dataset
  readonly heldOut: Dataset
  /** What was left out, ignored or guessed on the way, a sentence each. */
  readonly notes: readonly string[]
}

/** The class and the caption of pictures are for those who ask. */
const unreadNotes = (e: Experiment, { n, classes, about }: Dataset): readonly string[] => {
  if (!('path' in e.data)) return []
  const captions = Array.from({ length: n }, (_, i) => about(i).caption).filter((caption) => caption !== undefined)
  const asks = e.diffusion && conditionerOf(e.diffusion.conditioning, spaceOf(diffusedOf(e), 0)).known?.asks
  const others = (['vector', 'boxes'] as const).flatMap((name) => {
    const count = Array.from({ length: n }, (_, i) => about(i)[name]).filter((own) => own !== undefined).length
    return count === 0 || asks === name
      ? []
      : [`"${name}" of ${several(count, 'picture')}: nothing of this experiment reads them`]
  })
  return [
    ...others,
    ...(captions.length === 0 || readsTexts(e.diffusion?.conditioning)
      ? []
      : [`captions of ${several(captions.length, 'picture')}: nothing of this experiment reads them`]),
    ...(classes.length === 0 || toldClasses(e)
      ? []
      : [`${several(classes.length, 'class', 'classes')}: nothing of this experiment reads them`]),
  ]
}

/** The pictures to train on and those held out, chosen by the experiment's seed. Errors: `config`. */
export const parted = (e: Experiment, dataset: Dataset): Checked<Parted> =>
  pipe(
    refusing(heldOutRule(e, dataset.n)),
    E.map(() => {
      const count = e.data.heldOut ?? heldOutOf(dataset.n)
      const { train, heldOut, torn } = split(dataset, count, randomOf(e.seed, 'split'))
      return {
        train,
        heldOut,
        notes: [
          ...dataset.notes,
          ...(torn ? ['all pictures are copies of a few: what is held out is trained on too'] : []),
          ...(heldOut.n < count
            ? [`${heldOut.n} held out instead of ${count}, as variants and copies stay together`]
            : []),
          ...unreadNotes(e, dataset),
          ...dataNotes(e, train.n),
        ],
      }
    }),
  )

/** What a run says of its data. */
export const dataLines = ({ train, heldOut, notes }: Parted): readonly string[] => [
  `data: ${train.n} pictures to train on, ${heldOut.n} held out, ${train.classes.length} classes`,
  ...notes.map((note) => `data: ${note}`),
]
