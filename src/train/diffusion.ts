import { join } from 'node:path'
import { batchesOf, type Random } from '../data/batches.ts'
import { type Batch, type Dataset, labelsOf } from '../data/dataset.ts'
import { type Effect, effect } from '../error.ts'
import { floats, type Values } from '../execute/executor.ts'
import type { Asked } from '../experiment/conditioning.ts'
import { diffusionLeaves, nullLabel } from '../experiment/diffusion-stage.ts'
import type { Experiment, Training } from '../experiment/document.ts'
import { previewOf } from '../experiment/sampling.ts'
import type { Owned } from '../io/owner.ts'
import { identity } from '../prelude.ts'
import type { TextReader } from '../text/prompt.ts'
import { randomOf } from './data.ts'
import { drawPictures } from './drawing.ts'
import { mirrored } from './first-stage.ts'
import { asPart } from './inference.ts'
import { knownOf } from './known.ts'
import type { Learnt } from './latents.ts'
import type { Opened } from './opening.ts'
import type { RunOptions } from './options.ts'
import { previewPath, writePictures } from './pictures.ts'
import { showingOf } from './showing.ts'
import { runStage } from './stage.ts'
import { captionTokens } from './texts.ts'

/** Pictures, the labels of their pixels and what they follow, mirrored alike. */
const mirroredBatch = (
  { pictures, maps, hints, ...rest }: Batch,
  mirror: (pictures: Float32Array) => Float32Array,
): Pick<Batch, 'pictures' | 'maps' | 'hints'> => ({
  ...rest,
  pictures: mirror(pictures),
  ...(maps === undefined ? {} : { maps: mirror(maps) }),
  ...(hints === undefined ? {} : { hints: mirror(hints) }),
})

/** Trains the diffusion stage of a run; returns its state. */
export const trainDiffusion = (
  e: Experiment,
  o: RunOptions & { readonly owned: Owned },
  given: {
    readonly opened: NonNullable<Opened['diffusion']>
    readonly training: Training
    readonly learnt: Learnt
    readonly heldOut: Learnt
    /** Held-out pictures that previews may show. */
    readonly shown: Dataset
    /** Where the model reads captions. */
    readonly tokens: TextReader | undefined
    readonly scale: number
    readonly firstStage: Values
    /** Weights that stay as they are: of the U-Net and its conditioner that an adapter is trained beside, of text encoders. */
    readonly base: Values
    readonly begins?: Values
  },
): Effect<Values> => {
  const { opened, training, learnt, heldOut, scale, firstStage, tokens, base } = given
  const { model, name } = opened.stage
  const { conditioner } = model
  const batches = batchesOf(learnt.moments.n, training.batchSize, randomOf(e.seed, 'batches', 'diffusion'))
  const samplesPath = (done: number): string => previewPath(join(o.dir, name), done, 'samples')
  const width = learnt.data.width
  /** Pictures alone are mirrored: latents are of pictures as they are. */
  const flips = { ...training, flip: training.flip && model.encodes === 'identity' }
  const feedsOf = ({ moments, data, told }: Learnt) => {
    const classes = labelsOf(data)
    const captions = tokens === undefined ? undefined : captionTokens(tokens, data)
    const known = knownOf(conditioner, data)
    return (
      indices: ArrayLike<number>,
      mirror: (pictures: Float32Array) => Float32Array,
      random: (picture: number) => Random,
    ): Effect<Values> =>
      effect(async (run) => {
        const encoded = mirror(await run(moments.read(indices)))
        const asked: Asked = {
          labels: Array.from(indices, (i) => classes?.[i] ?? nullLabel(model)),
          ...(captions === undefined ? {} : { tokens: captions(indices) }),
          ...known(indices),
          ...(conditioner.pictures === undefined
            ? {}
            : { pictures: conditioner.pictures.of(mirroredBatch(await run(data.read(indices)), mirror), random) }),
        }
        return {
          [diffusionLeaves.moments]: floats([indices.length, ...moments.shape], encoded),
          [diffusionLeaves.scale]: floats([], Float32Array.of(scale)),
          ...conditioner.feeds(asked),
          ...(told === undefined ? {} : await run(told.read(indices))),
        }
      })
  }
  /** Of what is chance in the conditions of a step, a source for each of its pictures. */
  const chance = (step: string, place: (i: number) => number) => (i: number) =>
    randomOf(e.seed, 'condition', step, String(place(i)))
  const [trained, notTrained] = [feedsOf(learnt), feedsOf(heldOut)]
  return runStage(e, o, {
    opened,
    training,
    frozen: { ...asPart(firstStage), ...base },
    ...(given.begins === undefined ? {} : { begins: given.begins }),
    batch: (step, part) =>
      trained(
        batches(step * training.accumulate + part),
        mirrored(flips, e.seed, [step, part], width),
        chance(`${step}`, (i) => part * training.batchSize + i),
      ),
    heldOut: {
      n: heldOut.moments.n,
      feeds: (pictures) =>
        notTrained(
          pictures,
          identity,
          chance('held-out', (i) => pictures[i] ?? 0),
        ),
    },
    preview: {
      files: (done) => [samplesPath(done)],
      draw: (done, state) =>
        effect(async (run) => {
          const quick = previewOf(e.sampling, model.path)
          const perRow =
            conditioner.pictures === undefined ? Math.max(1, Math.floor(32 / Math.max(model.classes, 1))) : 16
          const {
            asked: shown,
            columns,
            grid,
          } = await run(showingOf(model, perRow, given.shown, { seed: e.seed, tokens }))
          const pictures = await run(
            drawPictures(
              o.executor,
              { model, stage: e.firstStage },
              { firstStage, diffusion: { ...base, ...state } },
              { ...shown, seed: e.seed, sampling: quick, scale },
            ),
          )
          await run(o.owned.held)
          await run(writePictures(samplesPath(done), grid(pictures), { columns, seed: e.seed }))
        }),
    },
  })
}
