import { mostPixels } from '../io/pictures.ts'

/** How many pictures of a size are asked for at once at most: as many as a grid can show, and no more than 4,096. */
export const mostPictures = ({ width, height }: { readonly width: number; readonly height: number }): number =>
  Math.max(1, Math.min(4096, Math.floor(mostPixels / (width * height))))
