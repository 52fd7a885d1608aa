import { readFile } from 'node:fs/promises'
import { type Checked, type Effect, type Errors, effect, failure } from '../error.ts'
import { version } from '../package.ts'
import { E, pipe, TE, t } from '../prelude.ts'
import { writeFileAtomic } from './atomic.ts'
import { fileEffect, readBytes } from './bytes.ts'
import { isPng } from './png.ts'
import { pngText, withPngText } from './png-text.ts'

/** What a picture was drawn by, kept in the picture itself: how to draw it again. */

const keyword = 'latentgraph'

const Settings = t.type({
  version: t.string,
  run: t.string,
  args: t.array(t.tuple([t.string, t.union([t.string, t.null])])),
})
/** The run, and the options of `sample` as they were typed, each with its value; those without one have null. */
export type PictureSettings = Pick<t.TypeOf<typeof Settings>, 'run' | 'args'>

/** A PNG with settings in it. Errors (`file`): no PNG. */
export const withSettings = (bytes: Uint8Array, { run, args }: PictureSettings, at: string): Checked<Uint8Array> =>
  withPngText(bytes, keyword, JSON.stringify({ version: version(), run, args }), at)

/** Writes them into a picture that is there, where its format has a place for it: PNG. Errors: `file`. */
export const keepSettings = (path: string, settings: PictureSettings): Effect<void> =>
  effect(async (run) => {
    const bytes = new Uint8Array(await run(fileEffect(path, 'a readable file', () => readFile(path))))
    if (!isPng(bytes)) return
    await run(writeFileAtomic(path, await run(TE.fromEither(withSettings(bytes, settings, path)))))
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
