import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { permutation } from '../../data/batches.ts'
import { type Dataset, labelsOf, select } from '../../data/dataset.ts'
import { type Effect, effect, failure } from '../../error.ts'
import type { Executor, Values } from '../../execute/executor.ts'
import type { LatentDiffusion } from '../../experiment/diffusion-stage.ts'
import { autoencoderOf, type Experiment } from '../../experiment/document.ts'
import type { Sampling } from '../../experiment/sampling.ts'
import { size } from '../../graph/types.ts'
import { writeFileAtomic } from '../../io/atomic.ts'
import { readBytes, sha256 } from '../../io/bytes.ts'
import { TE } from '../../prelude.ts'
import { type Parted, picturesOf, randomOf } from '../data.ts'
import { drawPictures } from '../drawing.ts'
import { type Items, type Rows, rowsOf } from '../inference.ts'
import { memoryHere, programBytes, shownBytes } from '../memory.ts'
import { heldOutLayout, writePictures } from '../pictures.ts'
import { spread } from '../validation.ts'
import { bitsFigures, bitsTerms } from './bits.ts'
import { type CheckpointIdentity, comparable, type Evaluation, type FeatureFigures, type Terms } from './document.ts'
import type { Extractor } from './extractors.ts'
import { featureFigures, leastPictures } from './figures.ts'
import { reconstructionFigures } from './reconstructions.ts'
import { evaluationSection, withSection } from './section.ts'

export * from './document.ts'
export * from './extractors.ts'
export * from './section.ts'

/** What is evaluated: networks and pictures. */
export interface Evaluated {
  readonly experiment: Experiment
  readonly data: Parted
  readonly checkpoints: readonly CheckpointIdentity[]
  readonly firstStage: Values
  /** Absent: reconstructions alone. */
  readonly diffusion?: {
    readonly model: LatentDiffusion
    readonly state: Values
    readonly scale: number
  }
}

export interface EvaluationOptions {
  /** Where pictures and figures are written. */
  readonly dir: string
  readonly executor: Executor
  /** Of latentgraph. */
  readonly version: string
  readonly count: number
  /** Training pictures that samples are compared with, at most: spread evenly over all. */
  readonly references: number
  /** Of the variational bound, where it is asked for: how many timesteps stand for all. */
  readonly bits?: number
  readonly seed: number
  readonly sampling: Sampling
  readonly extractors: readonly Extractor[]
  /** Errors (`file`) where the folder is no longer this process's. */
  readonly held: Effect<void>
  /** What the figures will be compared with. */
  readonly against?: { readonly path: string; readonly evaluation: Evaluation }
  readonly listener: {
    readonly doing: (what: string) => void
    readonly onStep: (name: string, done: number, of: number) => void
    /** Called once nothing is left but arithmetic that cannot be asked to stop. */
    readonly figuring: () => void
  }
}

/** A digest of pictures, in whichever order. */
const dataDigest = ({ train, heldOut }: Parted): string =>
  sha256(
    [train, heldOut]
      .flatMap(({ n, about }) => Array.from({ length: n }, (_, i) => about(i).sha256))
      .toSorted()
      .join('\n'),
  )

/** The conditions of samples: those of training pictures in an order by chance, so that they are as common. */
const conditionsFor = ({ train }: Parted, { conditioner }: LatentDiffusion, count: number, seed: number) =>
  effect(async (run) => {
    const labels = labelsOf(train)
    const order = permutation(train.n, randomOf(seed, 'evaluation-labels'))
    const chosen = Array.from({ length: count }, (_, i) => order[i % train.n] ?? 0)
    return {
      labels: chosen.map((i) => labels?.[i] ?? 0),
      ...(conditioner.pictures === undefined
        ? {}
        : {
            pictures: conditioner.pictures.of((await run(train.read(chosen))).pictures, (i) =>
              randomOf(seed, 'condition', 'evaluation', String(i)),
            ),
          }),
    }
  })

const referencesOf = ({ train }: Parted, { references }: EvaluationOptions): Dataset =>
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
  data: pictures.data.map((x) => Math.round((Math.min(1, Math.max(-1, x)) + 1) * 127.5) / 127.5 - 1),
})

/** How many pairs are shown, and in how many columns. */
const shownPairs = heldOutLayout

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
    const { n, columns } = shownPairs(samples.n)
    const chosen = figures.nearest.pairs
      .toSorted((a, b) => a.distance - b.distance)
      .slice(0, n)
      .map(({ sample }) => sample)
    const whole = chosen.slice(0, Math.floor(chosen.length / columns) * columns)
    const above = await run(rowsOf(samples).read(whole))
    const below = await run(references.read(whole.map((i) => nearestOf[i] ?? 0)))
    const row = columns * size(samples.shape)
    const data = new Float32Array(2 * above.length)
    for (let from = 0; from < above.length; from += row) {
      data.set(above.subarray(from, from + row), 2 * from)
      data.set(below.subarray(from, from + row), 2 * from + row)
    }
    await run(writePictures(path, { n: 2 * whole.length, shape: samples.shape, data }, { columns, seed }))
  })

const enough = (what: string, n: number): Effect<void> =>
  n >= leastPictures
    ? TE.right(undefined)
    : TE.left([
        failure('usage', what, `at least ${leastPictures}, for each to have ${leastPictures - 1} neighbours`, `${n}`),
      ])

/** Puts the figures into the run's report, in the place of earlier ones. False: there is none. Errors: `file`. */
const intoReport = (dir: string, found: Evaluation): Effect<boolean> =>
  effect(async (run) => {
    const path = join(dir, 'report.html')
    if (!existsSync(path)) return false
    const pictures = []
    for (const { nearest } of found.samples?.features ?? [])
      pictures.push(await run(readBytes(join(dir, nearest.picture))))
    const page = new TextDecoder().decode(await run(readBytes(path)))
    const whole = withSection(page, evaluationSection(found, pictures))
    if (whole === undefined) return false
    await run(writeFileAtomic(path, new TextEncoder().encode(whole)))
    return true
  })

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
const sampleFigures = (
  { experiment, data, firstStage, diffusion }: Evaluated & { readonly diffusion: NonNullable<Evaluated['diffusion']> },
  o: EvaluationOptions,
): Effect<NonNullable<Evaluation['samples']>> =>
  effect(async (run) => {
    const { count, seed, sampling, listener, executor, dir } = o
    const { model, state, scale } = diffusion
    const classed = model.conditioner.classes !== null
    const conditions = await run(conditionsFor(data, model, count, seed))
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
    const sets = { samples: rowsOf(samples), references: picturesOf(references), heldOut: picturesOf(data.heldOut) }
    const total = sets.samples.n + sets.references.n + sets.heldOut.n
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
        samples: await of(sets.samples, 0),
        references: await of(sets.references, sets.samples.n),
        heldOut: await of(sets.heldOut, sets.samples.n + sets.references.n),
      })
    }
    listener.figuring()
    await run(o.held)
    const [ofReferences, ofHeldOut] = [labelsOf(references), labelsOf(data.heldOut)]
    const known = {
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
    for (const { extractor, ...sets2 } of points) {
      const picture = `nearest-${slug(extractor.name)}.png`
      const { name, identity } = extractor
      const { figures, nearestOf } = featureFigures({ extractor: name, identity, picture }, { ...sets2, ...known })
      await run(writeNearest(join(dir, picture), { samples, references: sets.references, figures, nearestOf, seed }))
      features.push(figures)
    }
    return { count, seed, sampling, features }
  })

/**
 * Evaluates a trained run, and writes `evaluation.json`, pictures of the nearest training pictures and a section of the report into its
 * folder; `reported` is false where there is no report. Errors: `usage`, too few pictures, or others than the evaluation that this one is to be compared with has; those of networks and files.
 */
export const evaluate = (
  evaluated: Evaluated,
  o: EvaluationOptions,
): Effect<{ readonly found: Evaluation; readonly reported: boolean }> =>
  effect(async (run) => {
    const { experiment, data, firstStage, diffusion, checkpoints } = evaluated
    const about: Evaluation['data'] = {
      size: experiment.data.size,
      trained: data.train.n,
      heldOut: data.heldOut.n,
      sha256: dataDigest(data),
    }
    if (diffusion !== undefined) {
      await run(enough('--count', o.count))
      await run(enough('--references', o.references))
      await run(enough('pictures to train on', data.train.n))
      await run(fits(evaluated, o))
    }
    const drawn: Terms = {
      data: about,
      ...(diffusion === undefined
        ? {}
        : {
            samples: {
              count: o.count,
              features: o.extractors.map(({ name, identity }) => ({
                extractor: name,
                identity,
                references: referencesOf(data, o).n,
              })),
            },
          }),
    }
    const known = diffusion === undefined ? undefined : { experiment, firstStage, ...diffusion }
    if (o.bits !== undefined && known === undefined)
      await run(TE.left([failure('usage', '--bits-per-dim', 'a run with a diffusion stage', 'a first stage alone')]))
    const asked = known === undefined || o.bits === undefined ? undefined : { known, timesteps: o.bits }
    const terms: Terms = { ...drawn, ...(asked === undefined ? {} : { bits: bitsTerms(asked.known, asked.timesteps) }) }
    if (o.against !== undefined) await run(TE.fromEither(comparable(o.against.path, terms, o.against.evaluation)))
    o.listener.doing('reconstructing held-out pictures')
    const autoencoder = autoencoderOf(experiment)
    const reconstructions =
      autoencoder === undefined
        ? undefined
        : await run(reconstructionFigures(o.executor, autoencoder, firstStage, picturesOf(data.heldOut)))
    if (asked !== undefined) o.listener.doing('computing bits per dimension')
    const bits =
      asked === undefined
        ? undefined
        : await run(
            bitsFigures(asked.known, data.heldOut, {
              executor: o.executor,
              timesteps: asked.timesteps,
              seed: o.seed,
              onStep: (done, of) => o.listener.onStep('bits per dimension', done, of),
            }),
          )
    const found: Evaluation = {
      format: 'latentgraph-evaluation',
      version: 1,
      latentgraph: o.version,
      executor: o.executor.name,
      run: { name: experiment.name, seed: experiment.seed, checkpoints },
      data: about,
      ...(reconstructions === undefined ? {} : { reconstructions }),
      ...(bits === undefined ? {} : { bits }),
      ...(diffusion === undefined ? {} : { samples: await run(sampleFigures({ ...evaluated, diffusion }, o)) }),
    }
    await run(
      writeFileAtomic(join(o.dir, 'evaluation.json'), new TextEncoder().encode(`${JSON.stringify(found, null, 2)}\n`)),
    )
    return { found, reported: await run(intoReport(o.dir, found)) }
  })
