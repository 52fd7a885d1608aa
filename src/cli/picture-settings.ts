import { readFile } from 'node:fs/promises'
import { type Effect, type Errors, effect, failure } from '../error.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { fileEffect, readBytes } from '../io/bytes.ts'
import { version } from '../io/package.ts'
import { isPng, pngText, withPngText } from '../io/png-text.ts'
import { E, pipe, TE, t } from '../prelude.ts'

/** What a picture was drawn by, kept in the picture itself: how to draw it again. */

const keyword = 'latentgraph'

const Settings = t.type({
  version: t.string,
  run: t.string,
  args: t.array(t.tuple([t.string, t.union([t.string, t.null])])),
})
/** The run, and the options of `sample` as they were typed, each with its value; those without one have null. */
export type PictureSettings = Pick<t.TypeOf<typeof Settings>, 'run' | 'args'>

/** Writes them into a picture that is there, where its format has a place for it: PNG. Errors: `file`. */
export const keepSettings = (path: string, { run: dir, args }: PictureSettings): Effect<void> =>
  effect(async (run) => {
    const bytes = new Uint8Array(await run(fileEffect(path, 'a readable file', () => readFile(path))))
    if (!isPng(bytes)) return
    const text = JSON.stringify({ version: version(), run: dir, args })
    await run(writeFileAtomic(path, await run(TE.fromEither(withPngText(bytes, keyword, text, path)))))
  })

/** Those of a picture that `sample` has written. Errors: `file`. */
export const settingsIn = (path: string): Effect<PictureSettings> =>
  effect(async (run) => {
    const text = await run(TE.fromEither(pngText(await run(readBytes(path)), keyword, path)))
    return run(
      pipe(
        E.tryCatch(
          (): unknown => JSON.parse(text),
          (): Errors => [failure('file', path, 'settings as JSON', text.slice(0, 80))],
        ),
        E.filterOrElse(Settings.is, (): Errors => [failure('file', path, 'settings of a picture', text.slice(0, 80))]),
        TE.fromEither,
      ),
    )
  })
