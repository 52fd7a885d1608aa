import { type Dataset, labelsOf, select } from '../data/dataset.ts'
import { type Effect, effect } from '../error.ts'
import type { Executor, Values } from '../execute/executor.ts'
import type { Diffusion, FirstStage } from '../experiment/document.ts'
import { encodedShape } from '../experiment/first-stage.ts'
import { size } from '../graph/types.ts'
import { scratch } from '../io/scratch.ts'
import { E, TE } from '../prelude.ts'
import { picturesOf } from './data.ts'
import { encodePictures, type Items, type Rows, scaleMeter } from './inference.ts'
import { spread } from './validation.ts'

/** What a first stage makes of pictures, on the disk: moments, or latents of codes. */
export interface Encoded extends Rows {
  /** What latents are multiplied by. */
  readonly scale: number
  readonly close: Effect<void>
}

export interface Encoding {
  readonly executor: Executor
  readonly stage: FirstStage
  readonly state: Values
  readonly seed: number
  /** Where the latents are put; no file of them stays. */
  readonly dir: string
}

/** Encodes pictures once, for all steps of the diffusion stage. Errors: `run`, `file`. */
export const encodeLatents = (
  { executor, stage, state, seed, dir }: Encoding,
  { latents, latentScale }: Pick<Diffusion, 'latents' | 'latentScale'>,
  pictures: Rows,
): Effect<Encoded> =>
  effect(async (run) => {
    const shape = encodedShape(stage)
    const { append, read, close } = await run(scratch(dir, size(shape)))
    const meter = scaleMeter(stage.kind, seed)
    const encoding = encodePictures(executor, { stage, latents }, state, pictures, (moments) => {
      meter.add(moments)
      return append(moments.data)
    })
    const encoded = await encoding()
    if (E.isLeft(encoded)) await run(close)
    await run(TE.fromEither(encoded))
    return {
      n: pictures.n,
      shape,
      read,
      close,
      scale: latentScale.kind === 'fixed' ? latentScale.value : meter.scale(),
    }
  })

/** Held-out pictures as a diffusion stage is asked of them: what the first stage makes of each, in memory, and their classes. */
export interface HeldOutLatents {
  readonly moments: Items
  readonly labels?: Int32Array
}

/** Encodes the pictures that a stage is validated on: none where it is not. Errors: `run`, `file`. */
export const encodeHeldOut = (
  { executor, stage, state }: Encoding,
  { latents, training }: Pick<Diffusion, 'latents' | 'training'>,
  heldOut: Dataset,
): Effect<HeldOutLatents> =>
  effect(async (run) => {
    const chosen = select(heldOut, spread(heldOut.n, training.validate?.pictures ?? 0))
    const shape = encodedShape(stage)
    const data = new Float32Array(chosen.n * size(shape))
    let at = 0
    const take = (made: Items): Effect<void> =>
      TE.fromIO(() => {
        data.set(made.data, at)
        at += made.data.length
      })
    if (chosen.n > 0) await run(encodePictures(executor, { stage, latents }, state, picturesOf(chosen), take))
    const labels = labelsOf(chosen)
    return { moments: { n: chosen.n, shape, data }, ...(labels === undefined ? {} : { labels }) }
  })
