import { type Dataset, select } from '../data/dataset.ts'
import { type Effect, effect, failure } from '../error.ts'
import type { Executor, Values } from '../execute/executor.ts'
import type { Diffusion, FirstStage, LatentScale } from '../experiment/document.ts'
import { setting } from '../experiment/problems.ts'
import { type Diffused, encodedShapeOf } from '../experiment/space.ts'
import { size } from '../graph/types.ts'
import { scratch } from '../io/scratch.ts'
import { E, TE } from '../prelude.ts'
import type { ToldAhead } from './captions-ahead.ts'
import { picturesOf } from './data.ts'
import { encodePictures, type Items, type Rows, rowsOf, scaleMeter } from './inference.ts'
import { spread } from './validation.ts'

/** What diffusion learns: of an autoencoder moments, or latents of codes, on the disk; else pictures as they are. */
export interface Encoded extends Rows {
  /** What latents are multiplied by. */
  readonly scale: number
  readonly close: Effect<void>
}

export interface Encoding {
  readonly executor: Executor
  readonly state: Values
  readonly seed: number
  /** Where the latents are put; no file of them stays. */
  readonly dir: string
}

export interface LatentOptions {
  readonly latents: Diffusion['latents']
  readonly latentScale: LatentScale
}

const batchSize = 256

const picturesThemselves = (pictures: Rows, seed: number, latentScale: LatentScale): Effect<Encoded> =>
  effect(async (run) => {
    const encoded = { ...pictures, close: TE.right(undefined) }
    if (latentScale.kind === 'fixed') return { ...encoded, scale: latentScale.value }
    const meter = scaleMeter('identity', seed)
    for (let from = 0; from < pictures.n; from += batchSize) {
      const n = Math.min(batchSize, pictures.n - from)
      const data = await run(pictures.read(Array.from({ length: n }, (_, i) => from + i)))
      meter.add({ n, shape: pictures.shape, data })
    }
    return { ...encoded, scale: meter.scale() }
  })

const throughFirstStage = (
  stage: FirstStage,
  { executor, state, seed, dir }: Encoding,
  { latents, latentScale }: LatentOptions,
  pictures: Rows,
): Effect<Encoded> =>
  effect(async (run) => {
    const shape = encodedShapeOf(stage)
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

const alike = failure(
  'training',
  '/diffusion/latentScale',
  'latents that differ, so that their standard deviation can be measured',
  'the same ones of all pictures: the first stage tells none apart',
  `look at its reconstructions, or train into another folder with ${setting({ '/diffusion/latentScale': { kind: 'fixed', value: 1 } })}`,
)

/** Encodes pictures once, for all steps of the diffusion stage. Errors: `run`, `file`; `training`, latents that are all the same. */
export const encodeLatents = (
  on: Diffused,
  encoding: Encoding,
  options: LatentOptions,
  pictures: Rows,
): Effect<Encoded> =>
  effect(async (run) => {
    const encoded = await run(
      on.kind === 'identity'
        ? picturesThemselves(pictures, encoding.seed, options.latentScale)
        : throughFirstStage(on, encoding, options, pictures),
    )
    if (Number.isFinite(encoded.scale)) return encoded
    await run(encoded.close)
    return run(TE.left([alike]))
  })

/** Pictures, what a first stage makes of each, and what text encoders make of their captions, where that is learnt from. */
export interface Learnt {
  readonly moments: Rows
  readonly data: Dataset
  readonly told?: ToldAhead
}

/** The pictures that a stage is validated on, encoded in memory: none where it is not. Errors: `run`, `file`. */
export const encodeHeldOut = (
  on: Diffused,
  { executor, state }: Encoding,
  { latents, training }: Pick<Diffusion, 'latents' | 'training'>,
  heldOut: Dataset,
): Effect<Learnt> =>
  effect(async (run) => {
    const chosen = select(heldOut, spread(heldOut.n, training.validate?.pictures ?? 0))
    if (on.kind === 'identity') return { moments: picturesOf(chosen), data: chosen }
    const shape = encodedShapeOf(on)
    const data = new Float32Array(chosen.n * size(shape))
    let at = 0
    const take = (made: Items): Effect<void> =>
      TE.fromIO(() => {
        data.set(made.data, at)
        at += made.data.length
      })
    if (chosen.n > 0) await run(encodePictures(executor, { stage: on, latents }, state, picturesOf(chosen), take))
    return { moments: rowsOf({ n: chosen.n, shape, data }), data: chosen }
  })
