import { type Effect, effect, fail } from '../error.ts'
import { floats, type Value } from '../execute/executor.ts'
import { readBytes } from '../io/bytes.ts'
import { decodeAt } from '../io/images.ts'
import { TE } from '../prelude.ts'

/** Pictures that `sample` is given for a published model. */

export interface Place {
  readonly width: number
  readonly height: number
}

/** As many pixels as are a multiple of `of`, at least once. */
const rounded = (n: number, of: number): number => Math.max(of, Math.floor(n / of) * of)

export interface ReadPicture extends Place {
  /** [1, 3, H, W] in [0, 1]. */
  readonly pixels: Value
  /** Where the file's own size is another. */
  readonly note?: string
}

/** A picture at the size that is asked for, or at its own as far as it is a multiple. Errors: `file`. */
export const readPublished = (path: string, size: Place | undefined, multiple: number): Effect<ReadPicture> =>
  effect(async (run) => {
    const { width, height, colours, facts } = await run(
      decodeAt(
        path,
        await run(readBytes(path)),
        (own) => size ?? { width: rounded(own.width, multiple), height: rounded(own.height, multiple) },
      ),
    )
    const pixels = floats(
      [1, 3, height, width],
      Float32Array.from(colours, (byte) => Math.fround(byte / 255)),
    )
    return width === facts.width && height === facts.height
      ? { width, height, pixels }
      : { width, height, pixels, note: `${path}: ${facts.width}x${facts.height} pixels, taken as ${width}x${height}` }
  })

/** The grey of a picture, [1, 1, H, W] in [0, 1]. */
export const grey = ({ shape, data }: Value): Value => {
  const [, , height = 0, width = 0] = shape
  const plane = height * width
  return floats(
    [1, 1, height, width],
    Float32Array.from(
      { length: plane },
      (_, i) => ((data[i] ?? 0) + (data[plane + i] ?? 0) + (data[2 * plane + i] ?? 0)) / 3,
    ),
  )
}

/** `512x768`: width, then height. Errors (`usage`). */
export const sizeOf = (text: string, multiple: number): Effect<Place> => {
  const [, width = '', height = ''] = /^(\d{1,5})x(\d{1,5})$/.exec(text) ?? []
  const size = { width: Number(width), height: Number(height) }
  return width !== '' && size.width % multiple === 0 && size.height % multiple === 0 && size.width * size.height > 0
    ? TE.right(size)
    : TE.fromEither(
        fail(
          'usage',
          '--size',
          `width x height, multiples of ${multiple}`,
          text,
          `such as ${8 * multiple}x${8 * multiple}`,
        ),
      )
}
