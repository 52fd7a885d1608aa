import { type Effect, effect, fail } from '../error.ts'
import { decodeAt, encodePng, pictureHead, type Sides } from '../io/images.ts'
import { withSettings } from '../io/picture-settings.ts'
import type { Picture } from '../io/pictures.ts'
import { E, pipe, TE } from '../prelude.ts'
import type { Coding } from './coder.ts'
import { limits } from './limits.ts'

/** Pictures as files and back, by sharp. */

/** Formats that come in: those that cannot name other files. */
const formats: readonly string[] = ['png', 'jpeg', 'webp', 'gif', 'heif']

const at = 'the picture'
const admit = (bytes: Uint8Array, size: Sides): Effect<Picture> =>
  effect(async (run) => {
    const { format, width, height } = await run(pictureHead(at, bytes))
    if (!formats.includes(format)) return run(TE.fromEither(fail('data', at, 'PNG, JPEG, WebP, GIF or AVIF', format)))
    if (width * height > limits.pixels)
      return run(TE.fromEither(fail('data', at, `at most ${limits.pixels} pixels`, `${width}x${height}`)))
    const { colours } = await run(decodeAt(at, bytes, () => size))
    const plane = size.width * size.height
    return { ...size, data: colours.map((_, i) => colours[(i % 3) * plane + Math.floor(i / 3)] ?? 0) }
  })

/** The files that `sample` would write: each with what it was drawn by. */
export const coding: Coding = {
  admit,
  encode: (picture, settings) =>
    pipe(
      encodePng(picture),
      TE.flatMapEither((bytes) => (settings === undefined ? E.right(bytes) : withSettings(bytes, settings, at))),
    ),
}
