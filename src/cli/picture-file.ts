import { stat } from 'node:fs/promises'
import { type Effect, effect, failure } from '../error.ts'
import { tryFile } from '../io/atomic.ts'
import { pictureFile } from '../io/images.ts'
import { pipe, RNEA, TE } from '../prelude.ts'

/** Nothing, where pictures can be written to `--out`. Errors (`usage`): a format that is not written, a folder of that name; `file`, no place that can be written to. */
export const checkPictureFile = (path: string): Effect<void> =>
  effect(async (run) => {
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
    if (isFolder) await run(TE.left([failure('usage', '--out', 'a file', `the folder ${path}`)]))
    await run(tryFile(path))
  })
