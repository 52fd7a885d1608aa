import { join } from 'node:path'
import { batchesOf } from '../data/batches.ts'
import { type Effect, effect } from '../error.ts'
import { floats, ints, type Values } from '../execute/executor.ts'
import { diffusionLeaves, nullLabel } from '../experiment/diffusion-stage.ts'
import type { Experiment, Training } from '../experiment/document.ts'
import { previewOf } from '../experiment/sampling.ts'
import type { Owned } from '../io/owner.ts'
import { pipe, TE } from '../prelude.ts'
import { randomOf } from './data.ts'
import { drawPictures, type Rows, rowsOf } from './inference.ts'
import type { HeldOutLatents } from './latents.ts'
import type { Opened } from './opening.ts'
import type { RunOptions } from './options.ts'
import { labelRows, previewPath, writePictures } from './pictures.ts'
import { runStage } from './stage.ts'

/** Trains the diffusion stage of a run; returns its state. */
export const trainDiffusion = (
  e: Experiment,
  o: RunOptions & { readonly owned: Owned },
  given: {
    readonly opened: NonNullable<Opened['diffusion']>
    readonly training: Training
    readonly moments: Rows
    readonly labels: Int32Array | undefined
    readonly heldOut: HeldOutLatents
    readonly scale: number
    readonly firstStage: Values
  },
): Effect<Values> => {
  const { opened, training, moments, labels, heldOut, scale, firstStage } = given
  const { model, name } = opened.stage
  const batches = batchesOf(moments.n, training.batchSize, randomOf(e.seed, 'batches', 'diffusion'))
  const samplesPath = (done: number): string => previewPath(join(o.dir, name), done, 'samples')
  const conditional = model.config.conditioning.kind === 'class'
  const feeds = (rows: Rows, classes: Int32Array | undefined, indices: ArrayLike<number>): Effect<Values> =>
    pipe(
      rows.read(indices),
      TE.map((encoded) => ({
        [diffusionLeaves.moments]: floats([indices.length, ...rows.shape], encoded),
        [diffusionLeaves.scale]: floats([], Float32Array.of(scale)),
        ...(conditional
          ? {
              [diffusionLeaves.labels]: ints(
                [indices.length],
                Int32Array.from(indices, (i) => classes?.[i] ?? nullLabel(model)),
              ),
            }
          : {}),
      })),
    )
  const notTrained = rowsOf(heldOut.moments)
  return runStage(e, o, {
    opened,
    training,
    batch: (step, part) => feeds(moments, labels, batches(step * training.accumulate + part)),
    heldOut: { n: notTrained.n, feeds: (pictures) => feeds(notTrained, heldOut.labels, pictures) },
    preview: {
      files: (done) => [samplesPath(done)],
      draw: (done, state) =>
        effect(async (run) => {
          const quick = previewOf(e.sampling)
          const perRow = Math.max(1, Math.floor(32 / Math.max(model.classes, 1)))
          const pictures = await run(
            drawPictures(
              o.executor,
              { model, stage: e.firstStage },
              { firstStage, diffusion: state },
              { labels: labelRows(model.classes, perRow), seed: e.seed, sampling: quick, scale },
            ),
          )
          await run(o.owned.held)
          await run(writePictures(samplesPath(done), pictures, { columns: perRow, seed: e.seed }))
        }),
    },
  })
}
