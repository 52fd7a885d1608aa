import { type Effect, effect } from '../error.ts'
import type { Executor, Values } from '../execute/executor.ts'
import type { Diffusion, FirstStage } from '../experiment/document.ts'
import { encodedShape } from '../experiment/first-stage.ts'
import { size } from '../graph/types.ts'
import { scratch } from '../io/scratch.ts'
import { E, TE } from '../prelude.ts'
import { encodePictures, type Rows, scaleMeter } from './inference.ts'

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
