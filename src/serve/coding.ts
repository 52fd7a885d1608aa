import { type Effect, effect, fail } from '../error.ts'
import { decodeAt, encodePng, pictureHead, type Sides } from '../io/images.ts'
import { type PictureSettings, withSettings } from '../io/picture-settings.ts'
import type { Picture } from '../io/pictures.ts'
import { pipe, TE } from '../prelude.ts'
import { limits } from './limits.ts'

/** Pictures as files and back. */

/** Formats that come in: those that cannot name other files. */
const formats: readonly string[] = ['png', 'jpeg', 'webp', 'gif', 'heif']

const at = 'the picture'
/** A picture that came in, cut to a size. Errors: `file`, no picture; `data`, of another format, or with too many pixels. */
export const admit = (bytes: Uint8Array, size: Sides): Effect<Picture> =>
  effect(async (run) => {
    const { format, width, height } = await run(pictureHead(at, bytes))
    if (!formats.includes(format)) return run(TE.fromEither(fail('data', at, 'PNG, JPEG, WebP, GIF or AVIF', format)))
    if (width * height > limits.pixels)
      return run(TE.fromEither(fail('data', at, `at most ${limits.pixels} pixels`, `${width}x${height}`)))
    const { colours } = await run(decodeAt(at, bytes, () => size))
    const plane = size.width * size.height
    return { ...size, data: colours.map((_, i) => colours[(i % 3) * plane + Math.floor(i / 3)] ?? 0) }
  })

const each = (pictures: readonly Picture[], encoded: (picture: Picture) => Effect<Uint8Array>) =>
  effect(async (run) => {
    const files: Uint8Array[] = []
    for (const picture of pictures) files.push(await run(encoded(picture)))
    return files
  })

/** Every so many pixels of every so many rows, that no side is longer than a preview's. */
const smaller = ({ width, height, data }: Picture): Picture => {
  const step = Math.ceil(Math.max(width, height) / limits.previews.side)
  const [w, h] = [Math.floor(width / step), Math.floor(height / step)]
  const source = (i: number): number => {
    const [y, x] = [Math.floor(i / w), i % w]
    return 3 * (y * step * width + x * step)
  }
  return {
    width: w,
    height: h,
    data: Uint8Array.from({ length: 3 * w * h }, (_, i) => data[source(Math.floor(i / 3)) + (i % 3)] ?? 0),
  }
}

export const encodeEach = (pictures: readonly Picture[]): Effect<readonly Uint8Array[]> => each(pictures, encodePng)
/** Small ones, for a glance while a drawing goes on. */
export const previews = (pictures: readonly Picture[]): Effect<readonly Uint8Array[]> =>
  each(pictures, (picture) => encodePng(smaller(picture)))

/** The files that `sample` would write: each with what it was drawn by. */
export const files = (pictures: readonly Picture[], settings: PictureSettings): Effect<readonly Uint8Array[]> =>
  each(pictures, (picture) =>
    pipe(
      encodePng(picture),
      TE.flatMapEither((bytes) => withSettings(bytes, settings, at)),
    ),
  )

export const dataUrl = (bytes: Uint8Array): string => `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`

/** How near a picture is to another, in dB. */
export const psnr = (a: Picture, b: Picture): number => {
  const squares = a.data.reduce((sum, x, i) => sum + (x - (b.data[i] ?? 0)) ** 2, 0)
  return 10 * Math.log10(255 ** 2 / Math.max(squares / a.data.length, 1e-6))
}
