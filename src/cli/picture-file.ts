import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect, failure } from '../error.ts'
import { tryFile } from '../io/atomic.ts'
import { fileEffect } from '../io/bytes.ts'
import { pictureFile } from '../io/images.ts'
import { pipe, RNEA, TE } from '../prelude.ts'
import type { Items } from '../train/inference.ts'
import { writeEach, writePictures } from '../train/pictures.ts'

/** Whether `--out` asks for a folder of pictures: its name ends as a folder's does. */
export const isPictureFolder = (path: string): boolean => /[\\/]$/.test(path)

/** Nothing, where a folder is empty or not there yet. Errors (`usage`): one that is not, by its option; `file`, no place that can be written to. */
export const checkEmptyFolder = (flag: string, path: string): Effect<void> =>
  effect(async (run) => {
    const within = await readdir(path).catch((): readonly string[] => [])
    if (within.length > 0)
      await run(
        TE.left([failure('usage', flag, 'a folder that is empty or not there yet', `${path}, which has ${within[0]}`)]),
      )
    return run(tryFile(join(path, '1.png')))
  })

/** Nothing, where pictures can be written to `--out`. Errors (`usage`): a format that is not written, a folder of that name, or one that is not empty; `file`, no place that can be written to. */
export const checkPictureFile = (path: string): Effect<void> =>
  effect(async (run) => {
    if (isPictureFolder(path)) return run(checkEmptyFolder('--out', path))
    await run(
      pipe(
        TE.fromEither(pictureFile(path)),
        TE.mapLeft(RNEA.map((e) => ({ ...e, tag: 'usage' as const, at: '--out' }))),
      ),
    )
    const isFolder = await stat(path).then(
      (found) => found.isDirectory(),
      () => false,
    )
    if (isFolder)
      await run(TE.left([failure('usage', '--out', 'a file', `the folder ${path}`, `${path}/ takes a picture a file`)]))
    await run(tryFile(path))
  })

/** Pictures as a grid, or in a folder each by itself, `1.png` and so on; returns the files. Errors: `data`, `file`. */
export const writeDrawn = (
  out: string,
  pictures: Items,
  { columns, seed }: { readonly columns: number; readonly seed: number },
): Effect<readonly string[]> => {
  if (!isPictureFolder(out))
    return pipe(
      writePictures(out, pictures, { columns, seed }),
      TE.map(() => [out]),
    )
  const digits = String(pictures.n).length
  const paths = Array.from({ length: pictures.n }, (_, i) => join(out, `${String(i + 1).padStart(digits, '0')}.png`))
  return pipe(
    fileEffect(out, 'a folder that can be made', () => mkdir(out, { recursive: true })),
    TE.flatMap(() => writeEach(paths, pictures, seed)),
    TE.map(() => paths),
  )
}
