import { type Effect, effect } from '../error.ts'
import type { PictureSettings } from '../io/picture-settings.ts'
import type { Picture } from '../io/pictures.ts'
import { pipe, TE } from '../prelude.ts'
import type { About, Reconstructed } from './api.ts'
import type { Drawable } from './drawable.ts'
import { limits } from './limits.ts'

/** Pictures as files and back, whoever codes them. */

/** Who codes: the server by sharp, the browser by itself. */
export interface Coding {
  /** A picture that came in, cut to a size. Errors: `file`, no picture; `data`, of another format, or with too many pixels. */
  readonly admit: (bytes: Uint8Array, size: About['size']) => Effect<Picture>
  /** As PNG; with what it was drawn by, where the coder can. */
  readonly encode: (picture: Picture, settings?: PictureSettings) => Effect<Uint8Array>
}

export const encodeEach = (
  { encode }: Coding,
  pictures: readonly Picture[],
  settings?: PictureSettings,
): Effect<readonly Uint8Array[]> =>
  effect(async (run) => {
    const files: Uint8Array[] = []
    for (const picture of pictures) files.push(await run(encode(picture, settings)))
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

/** Small ones, for a glance while a drawing goes on. */
export const previews = (coding: Coding, pictures: readonly Picture[]): Effect<readonly Uint8Array[]> =>
  encodeEach(coding, pictures.map(smaller))

/** How many bytes are made letters at once. */
const chunk = 2 ** 14
const base64 = (bytes: Uint8Array): string =>
  btoa(
    Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, i) =>
      String.fromCharCode(...bytes.subarray(i * chunk, (i + 1) * chunk)),
    ).join(''),
  )
export const dataUrl = (bytes: Uint8Array): string => `data:image/png;base64,${base64(bytes)}`

/** How near a picture is to another, in dB. */
const psnr = (a: Picture, b: Picture): number => {
  const squares = a.data.reduce((sum, x, i) => sum + (x - (b.data[i] ?? 0)) ** 2, 0)
  return 10 * Math.log10(255 ** 2 / Math.max(squares / a.data.length, 1e-6))
}

/** A picture that came in, at the model's size, and what its first stage makes of it. Errors: `file`, `data`, those of the run. */
export const reconstructed = (
  coding: Coding,
  run: Pick<Drawable, 'reconstruct'>,
  { size }: About,
  file: Uint8Array,
): Effect<Reconstructed> =>
  pipe(
    TE.Do,
    TE.bind('picture', () => coding.admit(file, size)),
    TE.bind('made', ({ picture }) =>
      pipe(
        run.reconstruct([picture]),
        TE.map(([first = picture]) => first),
      ),
    ),
    TE.bind('files', ({ picture, made }) => encodeEach(coding, [picture, made])),
    TE.map(({ picture, made, files: [a = file, b = file] }) => ({
      picture: dataUrl(a),
      reconstruction: dataUrl(b),
      psnr: psnr(picture, made),
    })),
  )
