import { type Effect, effect, failure } from '../error.ts'
import type { Executor, Values } from '../execute/executor.ts'
import type { LatentDiffusion } from '../experiment/diffusion-stage.ts'
import type { Experiment, FirstStage } from '../experiment/document.ts'
import { size } from '../graph/types.ts'
import { pipe, TE } from '../prelude.ts'
import { encodePictures, type Items, joined, rowsOf } from './inference.ts'

/** Pictures as diffusion has them. */

export interface Stages {
  readonly model: LatentDiffusion
  readonly stage: Experiment['firstStage']
}

/** What latents are in the middle of a posterior's moments. */
const modes: { readonly [K in FirstStage['kind']]: (encoded: Items) => Items } = {
  kl: ({ n, shape: [channels = 0, ...positions], data }) => {
    const shape = [channels / 2, ...positions]
    const half = size(shape)
    return {
      n,
      shape,
      data: joined(Array.from({ length: n }, (_, i) => data.subarray(2 * i * half, (2 * i + 1) * half))),
    }
  },
  vq: (encoded) => encoded,
}

/** Pictures as diffusion is trained on them: moments of their posteriors, latents that are not quantised yet, or as they are. */
export const encodedPictures = (
  executor: Executor,
  { model, stage }: Stages,
  firstStage: Values,
  pictures: Items,
): Effect<Items> =>
  effect(async (run) => {
    if (stage.kind === 'identity') return pictures
    const parts: Items[] = []
    const take = (made: Items): Effect<void> => TE.fromIO(() => void parts.push(made))
    await run(encodePictures(executor, { stage, latents: model.config.latents }, firstStage, rowsOf(pictures), take))
    const [first] = parts
    return first === undefined
      ? run(TE.left([failure('run', 'latents', 'a picture to encode', 'none')]))
      : { n: pictures.n, shape: first.shape, data: joined(parts.map((part) => part.data)) }
  })

/** Pictures to raw latents, without noise: the modes of their posteriors, or codes. */
export const latentsOfPictures = (
  executor: Executor,
  stages: Stages,
  firstStage: Values,
  pictures: Items,
): Effect<Items> =>
  pipe(
    encodedPictures(executor, stages, firstStage, pictures),
    TE.map((encoded) => (stages.stage.kind === 'identity' ? encoded : modes[stages.stage.kind](encoded))),
  )
