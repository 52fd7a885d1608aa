import { type Effect, effect } from '../error.ts'
import { readBytes } from '../io/bytes.ts'
import { decodePicture, encodePng } from '../io/images.ts'
import { checkPicture, ofByte } from '../io/pictures.ts'
import { pipe, TE } from '../prelude.ts'
import { nameOf, type PictureSource } from './picture-source.ts'
import type { ReadPicture } from './reads.ts'

/** Pictures that are given, as files. */

/** The bytes of its file, or of one that it would be in. Errors: `file`, `data`. */
export const bytesOf = (source: PictureSource): Effect<Uint8Array> =>
  typeof source === 'string' ? readBytes(source) : pipe(TE.fromEither(checkPicture(source)), TE.flatMap(encodePng))

/** Cut and resized to a square. Errors: `file`, `data`. */
export const pictureAt = (source: PictureSource, size: number): Effect<ReadPicture> =>
  effect(async (run) => {
    const { colours, facts } = await run(decodePicture(nameOf(source), await run(bytesOf(source)), { size }))
    const data = Float32Array.from(colours, ofByte)
    return { picture: { n: 1, shape: [3, size, size], data }, width: facts.width, height: facts.height }
  })
