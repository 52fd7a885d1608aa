import type { Effect } from '../error.ts'
import { readBytes } from '../io/bytes.ts'
import { encodePng } from '../io/images.ts'
import { checkPicture, type Picture } from '../io/pictures.ts'
import { pipe, TE } from '../prelude.ts'

/** A picture that is given: a file by its path, or a picture in memory. Both go the same way to the size that a model takes. */
export type PictureSource = string | Picture

export const nameOf = (source: PictureSource): string =>
  typeof source === 'string' ? source : `a picture of ${source.width}x${source.height} pixels`

/** The bytes of its file, or of one that it would be in. Errors: `file`, `data`. */
export const bytesOf = (source: PictureSource): Effect<Uint8Array> =>
  typeof source === 'string' ? readBytes(source) : pipe(TE.fromEither(checkPicture(source)), TE.flatMap(encodePng))
