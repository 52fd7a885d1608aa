import { join } from 'node:path'
import { batchesOf, type Random } from '../data/batches.ts'
import { type Dataset, flipHorizontal, gather, split } from '../data/dataset.ts'
import { loadEmoji } from '../data/emoji.ts'
import { loadFolder } from '../data/folder.ts'
import { bits, fold, key } from '../distributions/random.ts'
import { type Effect, type Errors, effect, failure } from '../error.ts'
import { type Executor, floats, ints, type Values } from '../execute/executor.ts'
import { diffusionLeaves, type LatentDiffusion, nullLabel } from '../experiment/diffusion-stage.ts'
import { type Experiment, experiment, type Sampling, type Training } from '../experiment/document.ts'
import { firstStageLeaves, latentShape } from '../experiment/first-stage.ts'
import { parseJsonText } from '../experiment/json-text.ts'
import { temperatureAt, temperatureLeaf } from '../experiment/quantize.ts'
import { differences } from '../experiment/same.ts'
import { feedTypes, type Graph } from '../graph/graph.ts'
import { contentHash } from '../graph/hash.ts'
import { size } from '../graph/types.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { readBytes } from '../io/bytes.ts'
import type { Json } from '../io/checkpoint.ts'
import { writeGrid } from '../io/images.ts'
import { weightAt } from '../losses/index.ts'
import { E, pipe, TE } from '../prelude.ts'
import { decode } from '../schema.ts'
import { drawPictures, encodePictures, type Items, measureScale, psnr, reconstruct } from './inference.ts'
import { type Metrics, train } from './loop.ts'
import { perceptualWeights } from './perceptual-weights.ts'
import { type Plan, planExperiment, type StagePlan } from './plan.ts'
import { noiseFeeds } from './state.ts'

/** What a training run tells while it goes. */
export interface Listener {
  readonly onStage: (name: string, steps: number) => void
  readonly onStep: (stage: string, done: number, metrics: Metrics) => void
  readonly onStageDone: (name: string) => void
  readonly say: (line: string) => void
  /** True ends the run cleanly, behind a checkpoint. */
  readonly stopping: () => boolean
}

export interface RunOptions {
  /** Everything is written below this folder. */
  readonly dir: string
  readonly executor: Executor
  readonly resume: boolean
  readonly listener: Listener
}

export interface RunSummary {
  readonly finished: boolean
  readonly experiment: Experiment
  readonly plan: Plan
  readonly data: { readonly train: number; readonly heldOut: number; readonly classes: readonly string[] }
  /** Of held-out pictures, in dB. */
  readonly heldOutPsnr: number
  readonly seconds: number
  readonly pictures: { readonly reconstructions: string; readonly samples?: string }
}

export const randomOf =
  (seed: number, ...names: readonly string[]): Random =>
  (counter) =>
    bits(
      names.reduce((k, n) => fold(k, n), key(seed)),
      counter,
    )[0]

/** The pictures of an experiment. */
export const loadData = ({ data }: Experiment): Effect<Dataset> =>
  data.kind === 'emoji' ? loadEmoji({ size: data.size }) : loadFolder(data.path, { size: data.size })

const itemsOf = ({ pictures, n, channels, height, width }: Dataset): Items => ({
  n,
  shape: [channels, height, width],
  data: pictures,
})

const flipped = (training: Training, seed: number, batch: Float32Array, width: number, step: number): Float32Array => {
  if (!training.flip) return batch
  const random = randomOf(seed, 'flip', String(step))
  return flipHorizontal(
    batch,
    width,
    Array.from({ length: training.batchSize }, (_, i) => random(i) < 2 ** 31),
  )
}

const rows = (items: Items, indices: ArrayLike<number>): Float32Array => {
  const each = size(items.shape)
  const out = new Float32Array(indices.length * each)
  Array.from(indices).forEach((index, i) => {
    out.set(items.data.subarray(index * each, (index + 1) * each), i * each)
  })
  return out
}

interface StageRun {
  readonly stage: StagePlan
  readonly training: Training
  /** Weights that never change. */
  readonly constants?: Values
  readonly batch: (step: number) => Values
  readonly preview: (done: number, state: Values) => Effect<void>
}

/** The state before the first step, with what the first batch sets. */
const startingState = (executor: Executor, { start }: StagePlan, initial: Values, feeds: Values): Effect<Values> =>
  effect(async (run) => {
    if (start === undefined) return initial
    const executable = await run(executor.compile(start, { mode: 'training' }))
    try {
      const given = { ...initial, ...feeds }
      const wanted = Object.keys(feedTypes(start))
      const set = await run(
        executable.run(Object.fromEntries(Object.entries(given).filter(([name]) => wanted.includes(name)))),
      )
      return { ...initial, ...set }
    } finally {
      executable.dispose()
    }
  })

const runStage = (e: Experiment, o: RunOptions, { stage, training, constants = {}, batch, preview }: StageRun) =>
  effect(async (run) => {
    const { step } = stage
    o.listener.onStage(stage.name, training.steps)
    const executable = await run(o.executor.compile(step.graph, { mode: 'training', constants }))
    try {
      const feeds = (s: number): Values => ({ ...batch(s), ...noiseFeeds(step.graph, e.seed, s) })
      const identity: Record<string, Json> = {
        stage: stage.name,
        seed: e.seed,
        graph: contentHash(step.graph),
        steps: training.steps,
      }
      const result = await run(
        train({
          plan: step,
          executable,
          steps: training.steps,
          checkpointEvery: training.checkpointEvery,
          logEvery: training.logEvery,
          previewEvery: training.previewEvery,
          dir: join(o.dir, stage.name),
          identity,
          initial: await run(startingState(o.executor, stage, step.initial(e.seed), feeds(0))),
          feeds,
          resume: o.resume,
          onStep: (done, metrics) => o.listener.onStep(stage.name, done, metrics),
          preview,
          stopping: o.listener.stopping,
        }),
      )
      o.listener.onStageDone(stage.name)
      return result
    } finally {
      executable.dispose()
    }
  })

/** Originals in rows over their reconstructions. */
const writeReconstructions = (path: string, originals: Items, others: Items, columns: number): Effect<void> => {
  const [channels = 3, height = 0, width = 0] = originals.shape
  const each = size(originals.shape)
  const count = Math.floor(originals.n / columns) * columns
  const data = new Float32Array(2 * count * each)
  data.set(originals.data.subarray(0, count * each))
  data.set(others.data.subarray(0, count * each), count * each)
  return writeGrid(path, data, { n: 2 * count, channels, height, width, columns, scale: 2 })
}

/** A class for each picture, `perClass` of each in a row. */
export const labelRows = (classes: number, perClass: number): readonly number[] =>
  Array.from({ length: Math.max(classes, 1) * perClass }, (_, i) => Math.floor(i / perClass))

export const writeSamples = (path: string, pictures: Items, columns: number): Effect<void> => {
  const [channels = 3, height = 0, width = 0] = pictures.shape
  return writeGrid(path, pictures.data, { n: pictures.n, channels, height, width, columns, scale: 2 })
}

const previewName = (done: number): string => `step-${String(done).padStart(8, '0')}.png`

/** Schedules that a step of the first stage is fed, where it asks for them. */
const scheduled = ({ firstStage }: Experiment, pictures: number, graph: Graph) => {
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

const trainFirstStage = (
  e: Experiment,
  o: RunOptions,
  plan: Plan,
  data: { readonly train: Dataset; readonly heldOut: Dataset },
  constants: Values,
) => {
  const { training } = e.firstStage
  const batches = batchesOf(data.train.n, training.batchSize, randomOf(e.seed, 'batches', 'first-stage'))
  const shown = itemsOf(data.heldOut)
  const shape = [training.batchSize, ...shown.shape]
  const schedules = scheduled(e, data.train.n, plan.firstStage.step.graph)
  return runStage(e, o, {
    stage: plan.firstStage,
    training,
    constants,
    batch: (step) => ({
      ...schedules(step),
      [firstStageLeaves.pixels]: floats(
        shape,
        flipped(training, e.seed, gather(data.train, batches(step)), data.train.width, step),
      ),
    }),
    preview: (done, state) =>
      effect(async (run) => {
        const first = { ...shown, n: Math.min(32, shown.n) }
        const made = await run(reconstruct(o.executor, e.firstStage, state, first))
        await run(
          writeReconstructions(
            join(o.dir, 'first-stage', 'previews', previewName(done)),
            first,
            made,
            Math.min(16, first.n),
          ),
        )
      }),
  })
}

const trainDiffusion = (
  e: Experiment,
  o: RunOptions,
  given: {
    readonly stage: StagePlan & { readonly model: LatentDiffusion }
    readonly training: Training
    readonly moments: Items
    readonly labels: Int32Array | undefined
    readonly scale: number
    readonly firstStage: Values
  },
) => {
  const { stage, training, moments, labels, scale, firstStage } = given
  const { model } = stage
  const batches = batchesOf(moments.n, training.batchSize, randomOf(e.seed, 'batches', 'diffusion'))
  const conditional = model.config.conditioning.kind === 'class'
  return runStage(e, o, {
    stage,
    training,
    batch: (step) => {
      const indices = batches(step)
      return {
        [diffusionLeaves.moments]: floats([training.batchSize, ...moments.shape], rows(moments, indices)),
        [diffusionLeaves.scale]: floats([], Float32Array.of(scale)),
        ...(conditional
          ? {
              [diffusionLeaves.labels]: ints(
                [training.batchSize],
                Int32Array.from(indices, (i) => labels?.[i] ?? nullLabel(model)),
              ),
            }
          : {}),
      }
    },
    preview: (done, state) =>
      effect(async (run) => {
        const quick: Sampling = {
          ...e.sampling,
          sampler: 'ddim',
          steps: Math.min(20, e.sampling.steps),
          spacing: 'uniform',
        }
        const perRow = Math.max(1, Math.floor(32 / Math.max(model.classes, 1)))
        const pictures = await run(
          drawPictures(
            o.executor,
            { model, stage: e.firstStage },
            { firstStage, diffusion: state },
            { labels: labelRows(model.classes, perRow), seed: e.seed, sampling: quick, scale },
          ),
        )
        await run(writeSamples(join(o.dir, 'diffusion', 'previews', previewName(done)), pictures, perRow))
      }),
  })
}

const writeText = (path: string, text: string): Effect<void> =>
  writeFileAtomic(path, new TextEncoder().encode(`${text}\n`))
const experimentFile = ({ dir }: RunOptions): string => join(dir, 'experiment.json')

/** A run is gone on with as what it was; nothing is written before that is known. */
const claimFolder = (e: Experiment, o: RunOptions): Effect<void> =>
  effect(async (run) => {
    if (!o.resume) return
    const bytes = await readBytes(experimentFile(o))()
    if (E.isLeft(bytes)) return
    const text = new TextDecoder().decode(bytes.right)
    const was = await run(TE.fromEither(pipe(parseJsonText(text, experimentFile(o)), E.flatMap(decode(experiment)))))
    const [first, ...rest] = differences(was, e).map((d) =>
      failure(
        'training',
        `${experimentFile(o)}: ${d.at}`,
        `${JSON.stringify(d.was)}, as the run had`,
        JSON.stringify(d.is),
        'train into another folder to change it',
      ),
    )
    if (first !== undefined) await run(TE.left<Errors, void>([first, ...rest]))
  })

/**
 * Trains an experiment, stage after stage, into a folder: checkpoints, metrics, previews, and at the end the held-out
 * reconstructions and a sample grid. With `resume` it goes on where the folder's newest checkpoints stand.
 */
export const trainExperiment = (e: Experiment, o: RunOptions): Effect<RunSummary> =>
  effect(async (run) => {
    const started = performance.now()
    await run(claimFolder(e, o))
    const dataset = await run(loadData(e))
    const data = split(dataset, e.data.heldOut, randomOf(e.seed, 'split'))
    if (data.train.n === 0)
      return run(
        TE.left([
          failure(
            'data',
            '/data/heldOut',
            `fewer held-out pictures than the ${dataset.n} there are`,
            String(e.data.heldOut),
          ),
        ]),
      )
    o.listener.say(
      `data: ${data.train.n} pictures to train on, ${data.heldOut.n} held out, ${dataset.classes.length} classes`,
    )
    const plan = await run(TE.fromEither(planExperiment(e, dataset.classes.length)))
    const constants = await run(perceptualWeights(e.firstStage, plan.firstStage.step.graph))
    await run(writeText(experimentFile(o), JSON.stringify(e, null, 2)))

    const first = await run(trainFirstStage(e, o, plan, data, constants))
    const shown = itemsOf(data.heldOut)
    const made = await run(reconstruct(o.executor, e.firstStage, first.state, shown))
    const heldOutPsnr = psnr(shown, made)
    const reconstructions = join(o.dir, 'reconstructions.png')
    await run(
      writeReconstructions(reconstructions, { ...shown, n: Math.min(32, shown.n) }, made, Math.min(16, shown.n)),
    )
    o.listener.say(`held-out reconstructions: ${heldOutPsnr.toFixed(2)} dB PSNR`)
    const summary = (finished: boolean, samples?: string): RunSummary => ({
      finished,
      experiment: e,
      plan,
      data: { train: data.train.n, heldOut: data.heldOut.n, classes: dataset.classes },
      heldOutPsnr,
      seconds: (performance.now() - started) / 1000,
      pictures: samples === undefined ? { reconstructions } : { reconstructions, samples },
    })
    const { diffusion } = plan
    if (!first.finished || diffusion === undefined || e.diffusion === undefined) return summary(first.finished)

    const moments = await run(encodePictures(o.executor, e.firstStage, first.state, itemsOf(data.train)))
    const declared = e.diffusion.latentScale
    const scale = declared.kind === 'fixed' ? declared.value : measureScale(e.firstStage.kind, moments, e.seed)
    o.listener.say(`latents: [${latentShape(e.firstStage.network).join(', ')}], multiplied by ${scale.toFixed(4)}`)
    await run(writeText(join(o.dir, 'latents.json'), JSON.stringify({ scale, classes: dataset.classes })))
    const second = await run(
      trainDiffusion(e, o, {
        stage: diffusion,
        training: e.diffusion.training,
        moments,
        labels: data.train.labels,
        scale,
        firstStage: first.state,
      }),
    )
    if (!second.finished) return summary(false)
    const pictures = await run(
      drawPictures(
        o.executor,
        { model: diffusion.model, stage: e.firstStage },
        { firstStage: first.state, diffusion: second.state },
        { labels: labelRows(diffusion.model.classes, e.sampling.perClass), seed: e.seed, sampling: e.sampling, scale },
      ),
    )
    const samples = join(o.dir, 'samples.png')
    await run(writeSamples(samples, pictures, e.sampling.perClass))
    return summary(true, samples)
  })
