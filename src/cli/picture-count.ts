import type { Effect } from '../error.ts'
import { pipe, RNEA, TE } from '../prelude.ts'
import { picturesFit } from '../train/pictures.ts'
import { isPictureFolder } from './picture-file.ts'

/** Nothing, where so many pictures in rows can be written to `--out`, or each by itself. Errors (`usage`): too many of them. */
export const checkPictureCount = (...grid: Parameters<typeof picturesFit>): Effect<unknown> =>
  isPictureFolder(grid[0])
    ? TE.right(undefined)
    : pipe(
        TE.fromEither(picturesFit(...grid)),
        TE.mapLeft(RNEA.map((e) => ({ ...e, tag: 'usage' as const, at: `--out ${e.at}`, hint: 'fewer by --count' }))),
      )
