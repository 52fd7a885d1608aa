import { join } from 'node:path'
import { permutation } from '../../data/batches.ts'
import { type Dataset, labelsOf, select } from '../../data/dataset.ts'
import { type Effect, effect, failure } from '../../error.ts'
import { ofByte, toByte } from '../../io/pictures.ts'
import { TE } from '../../prelude.ts'
import { type Parted, picturesOf, randomOf } from '../data.ts'
import { drawPictures } from '../drawing.ts'
import { type Items, type Rows, rowsOf } from '../inference.ts'
import { knownOf } from '../known.ts'
import { memoryHere, programBytes, shownBytes } from '../memory.ts'
import { heldOutLayout, writePairs } from '../pictures.ts'
import { captionTokens } from '../texts.ts'
import { spread } from '../validation.ts'
import type { Evaluated, EvaluationOptions } from './asked.ts'
import type { Evaluation, FeatureFigures } from './document.ts'
import { featureFigures, leastPictures } from './figures.ts'

/** Samples, and how they stand to the training pictures. */

/** The conditions of samples: those of training pictures in an order by chance, so that they are as common. */
const conditionsFor = (
  { train }: Parted,
  { model: { conditioner }, tokens }: NonNullable<Evaluated['diffusion']>,
  count: number,
  seed: number,
) =>
  effect(async (run) => {
    const labels = labelsOf(train)
    const order = permutation(train.n, randomOf(seed, 'evaluation-labels'))
    const chosen = Array.from({ length: count }, (_, i) => order[i % train.n] ?? 0)
    return {
      labels: chosen.map((i) => labels?.[i] ?? 0),
      ...(tokens === undefined ? {} : { tokens: captionTokens(tokens, train)(chosen) }),
      ...knownOf(conditioner, train)(chosen),
      ...(conditioner.pictures === undefined
        ? {}
        : {
            pictures: conditioner.pictures.of(await run(train.read(chosen)), (i) =>
              randomOf(seed, 'condition', 'evaluation', String(i)),
            ),
          }),
    }
  })

/** The training pictures that samples are compared with. */
export const referencesOf = ({ train }: Parted, { references }: EvaluationOptions): Dataset =>
  select(train, spread(train.n, references))

/** Rows that tell when they are read. */
const counted = (rows: Rows, onRead: (done: number) => void): Rows => ({
  ...rows,
  read: (indices) => {
    onRead((indices[indices.length - 1] ?? 0) + 1)
    return rows.read(indices)
  },
})

/** Pictures as files have them, of 256 levels in [-1, 1]: so are those that they are compared with. */
const asWritten = (pictures: Items): Items => ({
  ...pictures,
  data: pictures.data.map((x) => ofByte(toByte(x))),
})

const slug = (name: string): string => name.replaceAll(/[^a-z0-9]+/gi, '-').replaceAll(/^-|-$/g, '')

/** The samples that are nearest to a training picture, each row of them over theirs. */
const writeNearest = (
  path: string,
  {
    samples,
    references,
    figures,
    nearestOf,
    seed,
  }: {
    readonly samples: Items
    readonly references: Rows
    readonly figures: FeatureFigures
    readonly nearestOf: Int32Array
    readonly seed: number
  },
): Effect<void> =>
  effect(async (run) => {
    const { n, columns } = heldOutLayout(samples.n)
    const chosen = figures.nearest.pairs
      .toSorted((a, b) => a.distance - b.distance)
      .slice(0, n)
      .map(({ sample }) => sample)
    const whole = chosen.slice(0, Math.floor(chosen.length / columns) * columns)
    const above = await run(rowsOf(samples).read(whole))
    const below = await run(references.read(whole.map((i) => nearestOf[i] ?? 0)))
    const of = (data: Float32Array): Items => ({ n: whole.length, shape: samples.shape, data })
    await run(writePairs(path, of(above), of(below), { columns, seed }))
  })

const enough = (what: string, n: number): Effect<void> =>
  n >= leastPictures
    ? TE.right(undefined)
    : TE.left([
        failure('usage', what, `at least ${leastPictures}, for each to have ${leastPictures - 1} neighbours`, `${n}`),
      ])

/** Samples twice, while their batches are put together; features, and of one extractor those of the Frechet distance in float64. */
const bytesFor = ({ data }: Evaluated, { count, references, extractors }: EvaluationOptions): number => {
  const { train, heldOut } = data
  const all = count + Math.min(train.n, references) + heldOut.n
  const dimensions = extractors.map((e) => e.dimensions)
  return (
    programBytes +
    8 * count * train.channels * train.height * train.width +
    4 * all * dimensions.reduce((a, b) => a + b, 0) +
    8 * all * Math.max(0, ...dimensions)
  )
}
/** What samples are compared with is enough, and fits. Errors: `usage`. */
export const comparableSets = (evaluated: Evaluated, o: EvaluationOptions): Effect<void> =>
  effect(async (run) => {
    await run(enough('--count', o.count))
    await run(enough('--references', o.references))
    await run(enough('pictures to train on', evaluated.data.train.n))
    await run(fits(evaluated, o))
  })
const fits = (evaluated: Evaluated, o: EvaluationOptions): Effect<void> => {
  const [bytes, here] = [bytesFor(evaluated, o), memoryHere()]
  return bytes <= here
    ? TE.right(undefined)
    : TE.left([
        failure(
          'usage',
          '--count',
          `what fits into the memory of this machine, ${shownBytes(here)}`,
          `about ${shownBytes(bytes)} for ${o.count} samples`,
          'fewer samples, or one extractor at a time',
        ),
      ])
}

/** Figures of samples in every space that is asked for. */
export const sampleFigures = (
  { experiment, data, firstStage, diffusion }: Evaluated & { readonly diffusion: NonNullable<Evaluated['diffusion']> },
  o: EvaluationOptions,
): Effect<NonNullable<Evaluation['samples']>> =>
  effect(async (run) => {
    const { count, seed, sampling, listener, executor, dir } = o
    const { model, state, scale } = diffusion
    const classed = model.conditioner.classes !== null
    const conditions = await run(conditionsFor(data, diffusion, count, seed))
    listener.doing('drawing samples')
    const drawn = await run(
      drawPictures(
        executor,
        { model, stage: experiment.firstStage },
        { firstStage, diffusion: state },
        {
          ...conditions,
          seed,
          sampling,
          scale,
          onStep: ({ done, of }) => TE.fromIO(() => listener.onStep('sampling', done, of)),
        },
      ),
    )
    const samples = asWritten(drawn)
    const references = referencesOf(data, o)
    const [drawnRows, known, unseen] = [rowsOf(samples), picturesOf(references), picturesOf(data.heldOut)]
    const total = drawnRows.n + known.n + unseen.n
    const points = []
    for (const extractor of o.extractors) {
      listener.doing(`computing features by ${extractor.name}`)
      const of = (rows: Rows, before: number) =>
        run(
          extractor.features(
            executor,
            counted(rows, (done) => listener.onStep(extractor.name, before + done, total)),
          ),
        )
      points.push({
        extractor,
        samples: await of(drawnRows, 0),
        references: await of(known, drawnRows.n),
        heldOut: await of(unseen, drawnRows.n + known.n),
      })
    }
    listener.figuring()
    await run(o.held)
    const [ofReferences, ofHeldOut] = [labelsOf(references), labelsOf(data.heldOut)]
    const about = {
      names: Array.from({ length: references.n }, (_, i) => references.about(i).name),
      ...(ofReferences === undefined || ofHeldOut === undefined
        ? {}
        : {
            classes: {
              names: data.train.classes,
              references: ofReferences,
              heldOut: ofHeldOut,
              ...(classed ? { asked: conditions.labels } : {}),
            },
          }),
    }
    const features: FeatureFigures[] = []
    for (const { extractor, ...sets } of points) {
      const picture = `nearest-${slug(extractor.name)}.png`
      const { name, identity } = extractor
      const { figures, nearestOf } = featureFigures({ extractor: name, identity, picture }, { ...sets, ...about })
      await run(writeNearest(join(dir, picture), { samples, references: known, figures, nearestOf, seed }))
      features.push(figures)
    }
    return { count, seed, sampling, features }
  })
