import { join } from 'node:path'
import { batchesOf } from '../data/batches.ts'
import { type Batch, type Dataset, flipHorizontal } from '../data/dataset.ts'
import { type Effect, effect } from '../error.ts'
import { floats, ints, type Value, type Values } from '../execute/executor.ts'
import type { Experiment, FirstStage, Training } from '../experiment/document.ts'
import { firstStageLeaves } from '../experiment/first-stage.ts'
import { temperatureAt, temperatureLeaf } from '../experiment/quantize.ts'
import { feedTypes, type Graph } from '../graph/graph.ts'
import type { Owned } from '../io/owner.ts'
import { weightAt } from '../losses/index.ts'
import { identity, pipe, RR, TE } from '../prelude.ts'
import { picturesOf, randomOf } from './data.ts'
import { drawPrior, firstItems, reconstruct } from './inference.ts'
import type { Opened } from './opening.ts'
import type { RunOptions } from './options.ts'
import { heldOutLayout, previewPath, writePictures, writeReconstructions } from './pictures.ts'
import { runStage } from './stage.ts'
import { spread } from './validation.ts'

/** Which pictures of a part of a step are mirrored, applied to whatever is as wide as they are. */
export const mirrored = (training: Training, seed: number, [step, part]: readonly [number, number], width: number) => {
  if (!training.flip) return (batch: Float32Array): Float32Array => batch
  const random = randomOf(seed, 'flip', String(step))
  const before = part * training.batchSize
  const flips = Array.from({ length: training.batchSize }, (_, i) => random(before + i) < 2 ** 31)
  return (batch: Float32Array): Float32Array => flipHorizontal(batch, width, flips)
}

/** Pictures and what is known of them, by their leaves; of these a step is fed what it asks for. */
const batchOf = (
  { channels, height, width }: Dataset,
  { pictures, labels, coverage, maps }: Batch,
  mirror: (batch: Float32Array) => Float32Array,
): Readonly<Record<string, Value>> => {
  const n = pictures.length / (channels * height * width)
  return {
    [firstStageLeaves.pixels]: floats([n, channels, height, width], mirror(pictures)),
    ...(coverage === undefined ? {} : { [firstStageLeaves.coverage]: floats([n, 1, height, width], mirror(coverage)) }),
    ...(maps === undefined ? {} : { [firstStageLeaves.map]: floats([n, height, width], mirror(maps)) }),
    ...(labels === undefined ? {} : { [firstStageLeaves.labels]: ints([n], labels) }),
  }
}

/** Schedules that a step of the first stage is fed, where it asks for them. */
const scheduled = (firstStage: FirstStage, pictures: number, graph: Graph) => {
  const { adversarial, training } = firstStage
  const wanted = feedTypes(graph)
  return (step: number): Values => {
    const samples = step * training.batchSize
    const numbers = {
      [firstStageLeaves.factor]:
        adversarial === undefined
          ? 0
          : weightAt(adversarial.factor)({ steps: step, epochs: Math.floor(samples / pictures), samples }),
      [temperatureLeaf]: firstStage.kind === 'vq' ? temperatureAt(firstStage.quantizer, step) : 1,
    }
    return Object.fromEntries(
      Object.entries(numbers).flatMap(([name, x]) =>
        name in wanted ? [[name, floats([], Float32Array.of(x))] as const] : [],
      ),
    )
  }
}

const previewsOf = ['inputs-and-reconstructions', 'prior-samples'] as const

/** Trains the first stage of a run; returns its state. */
export const trainFirstStage = (
  e: Experiment,
  o: RunOptions & { readonly owned: Owned },
  {
    opened,
    autoencoder,
    data,
    constants,
  }: Pick<Opened, 'data' | 'constants'> & {
    readonly opened: NonNullable<Opened['firstStage']>
    readonly autoencoder: FirstStage
  },
): Effect<Values> => {
  const { step, name } = opened.stage
  const dir = join(o.dir, name)
  const { training } = autoencoder
  const batches = batchesOf(data.train.n, training.batchSize, randomOf(e.seed, 'batches', 'first-stage'))
  const shown = picturesOf(data.heldOut)
  const wanted = feedTypes(step.graph)
  const schedules = scheduled(autoencoder, data.train.n, step.graph)
  const heldOut = spread(data.heldOut.n, training.validate?.pictures ?? 0)
  return runStage(e, o, {
    opened,
    training,
    constants,
    batch: (step, part) =>
      pipe(
        data.train.read(batches(step * training.accumulate + part)),
        TE.map((batch) => ({
          ...schedules(step),
          ...pipe(
            batchOf(data.train, batch, mirrored(training, e.seed, [step, part], data.train.width)),
            RR.filterWithIndex((name) => name in wanted),
          ),
        })),
      ),
    heldOut: {
      n: heldOut.length,
      pixels: firstStageLeaves.pixels,
      feeds: (pictures) =>
        pipe(
          data.heldOut.read(pictures.map((i) => heldOut[i] ?? 0)),
          TE.map((batch) => batchOf(data.heldOut, batch, identity)),
        ),
    },
    preview: {
      files: (done) => previewsOf.map((shows) => previewPath(dir, done, shows)),
      draw: (done, state) =>
        effect(async (run) => {
          const { n, columns } = heldOutLayout(shown.n)
          const as = { columns, seed: e.seed }
          const inputs = await run(firstItems(shown, n))
          const [reconstructions, priorSamples] = previewsOf
          const made = await run(reconstruct(o.executor, autoencoder, state, inputs))
          const drawn = await run(drawPrior(o.executor, autoencoder, state, { n, seed: e.seed }))
          await run(o.owned.held)
          await run(writeReconstructions(previewPath(dir, done, reconstructions), inputs, made, as))
          await run(writePictures(previewPath(dir, done, priorSamples), drawn, as))
        }),
    },
  })
}
