import {
  defaultNeighbours,
  frechet,
  kernelDistance,
  nearest,
  type Points,
  precisionRecall,
  squaredDistance,
} from '../../metrics/index.ts'
import type { ClassRow, FeatureFigures } from './document.ts'

/** Pictures in the space of their features, and what is known of them. */
export interface Compared {
  readonly samples: Points
  readonly references: Points
  readonly heldOut: Points
  /** Of the references. */
  readonly names: readonly string[]
  readonly classes?: {
    readonly names: readonly string[]
    readonly references: ArrayLike<number>
    readonly heldOut: ArrayLike<number>
    /** What samples were asked to be; absent where the model is not told. */
    readonly asked?: readonly number[]
  }
}

/** Of the samples and of the references at least so many, for each to have its neighbours. */
export const leastPictures = defaultNeighbours + 1

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const [low = 0, high = 0] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]]
  return (low + high) / 2
}

/** Root mean square a feature. */
const distancesTo = (points: Points, among: Points, nearestOf: Int32Array): readonly number[] =>
  Array.from(nearestOf, (j, i) => Math.sqrt(squaredDistance(points, i, among, j) / points.dim))

const count = (of: ArrayLike<number>, wanted: number, where: (i: number) => boolean = () => true): number =>
  Array.from(of).filter((x, i) => x === wanted && where(i)).length

const classFigures = (
  { names, references, heldOut, asked }: NonNullable<Compared['classes']>,
  ofSamples: Int32Array,
  ofHeldOut: Int32Array,
): NonNullable<FeatureFigures['classes']> => {
  const classOf = (nearestOf: Int32Array): readonly number[] => Array.from(nearestOf, (j) => references[j] ?? -1)
  const found = classOf(ofSamples)
  const rows = names.map(
    (name, c): ClassRow => ({
      name,
      nearest: count(found, c),
      ...(asked === undefined ? {} : { asked: count(asked, c), agree: count(asked, c, (i) => found[i] === c) }),
    }),
  )
  const known = names.filter((_, c) => count(references, c) > 0)
  const met = rows.filter(({ name, nearest: n }) => n > 0 && known.includes(name))
  return {
    coverage: met.length / known.length,
    heldOut: classOf(ofHeldOut).filter((c, i) => c === heldOut[i]).length / ofHeldOut.length,
    rows,
  }
}

/** Figures of samples by an extractor, and which training picture is nearest to each. */
export const featureFigures = (
  { extractor, identity, picture }: Pick<FeatureFigures, 'extractor' | 'identity'> & { readonly picture: string },
  { samples, references, heldOut, names, classes }: Compared,
): { readonly figures: FeatureFigures; readonly nearestOf: Int32Array } => {
  const [ofSamples, ofHeldOut] = [nearest(samples, references), nearest(heldOut, references)]
  const distances = distancesTo(samples, references, ofSamples)
  return {
    nearestOf: ofSamples,
    figures: {
      extractor,
      identity,
      dimensions: samples.dim,
      samples: samples.n,
      references: references.n,
      frechet: frechet(samples, references),
      kernel: kernelDistance(samples, references),
      ...precisionRecall(samples, references),
      neighbours: defaultNeighbours,
      nearest: {
        picture,
        median: median(distances),
        heldOut: median(distancesTo(heldOut, references, ofHeldOut)),
        pairs: distances.map((distance, i) => ({ sample: i, picture: names[ofSamples[i] ?? -1] ?? '', distance })),
      },
      ...(classes === undefined ? {} : { classes: classFigures(classes, ofSamples, ofHeldOut) }),
    },
  }
}
