import type { Picture } from '../io/pictures.ts'

/** A picture that is given: a file by its path, or a picture in memory. Both go the same way to the size that a model takes. */
export type PictureSource = string | Picture

export const nameOf = (source: PictureSource): string =>
  typeof source === 'string' ? source : `a picture of ${source.width}x${source.height} pixels`
