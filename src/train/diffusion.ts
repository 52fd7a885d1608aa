import { join } from 'node:path'
import { batchesOf } from '../data/batches.ts'
import { effect } from '../error.ts'
import { floats, ints, type Values } from '../execute/executor.ts'
import { diffusionLeaves, type LatentDiffusion, nullLabel } from '../experiment/diffusion-stage.ts'
import type { Experiment, Sampling, Training } from '../experiment/document.ts'
import { pipe, TE } from '../prelude.ts'
import { randomOf } from './data.ts'
import { drawPictures, type Rows } from './inference.ts'
import { labelRows, previewPath, writePictures } from './pictures.ts'
import type { StagePlan } from './plan.ts'
import { type RunOptions, runStage } from './stage.ts'

export const trainDiffusion = (
  e: Experiment,
  o: RunOptions,
  given: {
    readonly stage: StagePlan & { readonly model: LatentDiffusion }
    readonly training: Training
    readonly moments: Rows
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
      return pipe(
        moments.read(indices),
        TE.map((encoded) => ({
          [diffusionLeaves.moments]: floats([training.batchSize, ...moments.shape], encoded),
          [diffusionLeaves.scale]: floats([], Float32Array.of(scale)),
          ...(conditional
            ? {
                [diffusionLeaves.labels]: ints(
                  [training.batchSize],
                  Int32Array.from(indices, (i) => labels?.[i] ?? nullLabel(model)),
                ),
              }
            : {}),
        })),
      )
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
        const path = previewPath(join(o.dir, stage.name), done, 'samples')
        await run(writePictures(path, pictures, { columns: perRow, seed: e.seed }))
      }),
  })
}
