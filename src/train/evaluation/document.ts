import { type Checked, collect, fail } from '../../error.ts'
import { type Sampling, sampling } from '../../experiment/sampling.ts'
import { E } from '../../prelude.ts'
import { type Codec, type Decoded, integer, list, number, record, text, word } from '../../schema.ts'

/** What an evaluation found: `evaluation.json` of a run's folder. */

const natural = integer({ min: 0 })
const ratio = number({ min: 0, max: 1 })

const checkpoint = record({ stage: text, step: natural, sha256: text })
export type CheckpointIdentity = Decoded<typeof checkpoint>

const reconstructions = record({ count: natural, psnr: number(), ssim: number() }, {}, { lpips: number() })
export type ReconstructionFigures = Decoded<typeof reconstructions>

const bits = record({
  count: natural,
  /** In bits a dimension: the mean over the pictures. */
  bound: number(),
  /** Of pictures at 256 levels, or of latents as real numbers, before they are scaled. */
  of: word(['pixels', 'latents']),
  /** How many timesteps stand for all. */
  timesteps: natural,
})
export type BitsFigures = Decoded<typeof bits>

const classRow = record(
  {
    name: text,
    /** Samples whose nearest training picture is of this class. */
    nearest: natural,
  },
  {},
  {
    /** Samples that were asked to be of it, and how many of these are nearest to it. */
    asked: natural,
    agree: natural,
  },
)
export type ClassRow = Decoded<typeof classRow>
const classes = record({
  /** Share of the classes of the training pictures that some sample is nearest to. */
  coverage: ratio,
  /** Share of the held-out pictures that are nearest to a training picture of their own class. */
  heldOut: ratio,
  rows: list(classRow),
})
const nearest = record({
  /** Beside this file: the samples nearest to training pictures, over these. */
  picture: text,
  /** Of the distances, root mean square a feature: of samples, and of held-out pictures. */
  median: number({ min: 0 }),
  heldOut: number({ min: 0 }),
  pairs: list(record({ sample: natural, picture: text, distance: number({ min: 0 }) })),
})
const features = record(
  {
    extractor: text,
    identity: text,
    dimensions: natural,
    samples: natural,
    references: natural,
    frechet: number({ min: 0 }),
    kernel: number(),
    precision: ratio,
    recall: ratio,
    neighbours: natural,
    nearest,
  },
  {},
  { classes },
)
export type FeatureFigures = Decoded<typeof features>

const samples: Codec<{
  readonly count: number
  readonly seed: number
  readonly sampling: Sampling
  readonly features: readonly FeatureFigures[]
}> = record({ count: natural, seed: natural, sampling, features: list(features) })

const answers = record({ right: natural, wrong: list(text) })
/** How often what is drawn is what the caption says, of so many captions each. */
export type CaptionFigures = {
  readonly count: number
  readonly seed: number
  readonly sampling: Sampling
  /** Of sorts of things that the data has; `wrong` names some of the captions that are not true. */
  readonly seen: Decoded<typeof answers>
  /** Of sorts that the data never has. */
  readonly unseen: Decoded<typeof answers>
}
const captions: Codec<CaptionFigures> = record({
  count: natural,
  seed: natural,
  sampling,
  seen: answers,
  unseen: answers,
})

export const evaluation = record(
  {
    format: word(['latentgraph-evaluation']),
    version: integer({ min: 1, max: 1 }),
    latentgraph: text,
    executor: text,
    run: record({ name: text, seed: natural, checkpoints: list(checkpoint) }),
    data: record({ size: natural, trained: natural, heldOut: natural, sha256: text }),
  },
  {},
  { reconstructions, bits, captions, samples },
)
export type Evaluation = Decoded<typeof evaluation>

/** What two evaluations must have in common for their figures to be compared. */
export interface Terms {
  readonly data: Evaluation['data']
  readonly bits?: Pick<BitsFigures, 'of' | 'timesteps'>
  /** Absent: of reconstructions alone. */
  readonly samples?: {
    readonly count: number
    readonly features: readonly Pick<FeatureFigures, 'extractor' | 'identity' | 'references'>[]
  }
}

const same = (at: string, what: string, ours: unknown, theirs: unknown, hint?: string): Checked<void> =>
  ours === theirs
    ? E.right(undefined)
    : fail('usage', '--against', `${what} ${String(ours)}`, `${String(theirs)} in ${at}`, hint)

/**
 * Whether figures may be compared. Errors (`usage`): unlike counts, pictures or extractors, for distances are biased by counts
 * and of no unit that extractors share.
 */
export const comparable = (at: string, ours: Terms, theirs: Terms): Checked<unknown> => {
  const [mine, other] = [ours.samples, theirs.samples]
  return collect<unknown>([
    same(at, 'pictures whose contents are', ours.data.sha256.slice(0, 12), theirs.data.sha256.slice(0, 12)),
    same(at, 'pictures of so many pixels a side:', ours.data.size, theirs.data.size),
    same(at, 'training pictures:', ours.data.trained, theirs.data.trained),
    same(at, 'held-out pictures:', ours.data.heldOut, theirs.data.heldOut),
    ...(ours.bits === undefined || theirs.bits === undefined
      ? []
      : [
          same(at, 'bits of', ours.bits.of, theirs.bits.of),
          same(
            at,
            'timesteps of the bound:',
            ours.bits.timesteps,
            theirs.bits.timesteps,
            `--bits-per-dim ${theirs.bits.timesteps}`,
          ),
        ]),
    ...(mine === undefined || other === undefined
      ? []
      : [
          same(at, 'samples:', mine.count, other.count, `--count ${other.count}`),
          ...mine.features.map(({ extractor, identity, references }) => {
            const found = other.features.find((f) => f.identity === identity)
            return found === undefined
              ? fail(
                  'usage',
                  '--against',
                  `figures by ${extractor} (${identity})`,
                  `those by ${other.features.map((f) => `${f.extractor} (${f.identity})`).join(', ')} in ${at}`,
                )
              : same(at, `references of ${extractor}:`, references, found.references)
          }),
        ]),
  ])
}
