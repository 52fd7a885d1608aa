import { readLabelMapAt } from '../data/labels.ts'
import { type Effect, effect, fail } from '../error.ts'
import { floats, ints, type Value } from '../execute/executor.ts'
import { decodeAt } from '../io/images.ts'
import { pipe, TE } from '../prelude.ts'
import { bytesOf } from './picture-bytes.ts'
import { nameOf, type PictureSource } from './picture-source.ts'

/** Pictures that a published model is given. */

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

/** The size that is asked for, or a file's own as far as it is a multiple. */
const sizeFor =
  (size: Place | undefined, multiple: number) =>
  (own: Place): Place =>
    size ?? { width: rounded(own.width, multiple), height: rounded(own.height, multiple) }
const noteOf = (source: PictureSource, { width, height }: Place, facts: Place) =>
  width === facts.width && height === facts.height
    ? {}
    : { note: `${nameOf(source)}: ${facts.width}x${facts.height} pixels, taken as ${width}x${height}` }

/** A picture at the size that is asked for, or at its own as far as it is a multiple. Errors: `file`. */
export const readPublished = (source: PictureSource, size: Place | undefined, multiple: number): Effect<ReadPicture> =>
  effect(async (run) => {
    const { width, height, colours, facts } = await run(
      decodeAt(nameOf(source), await run(bytesOf(source)), sizeFor(size, multiple)),
    )
    const pixels = floats(
      [1, 3, height, width],
      Float32Array.from(colours, (byte) => Math.fround(byte / 255)),
    )
    return { width, height, pixels, ...noteOf(source, { width, height }, facts) }
  })

export interface ReadMap extends Place {
  /** int32[1, H, W] */
  readonly map: Value
  readonly note?: string
}
/** The label of each pixel of a picture. Errors: `file`, `data`. */
export const readPublishedMap = (
  source: PictureSource,
  labels: number,
  size: Place | undefined,
  multiple: number,
): Effect<ReadMap> =>
  pipe(
    readLabelMapAt(nameOf(source), labels, sizeFor(size, multiple), bytesOf(source)),
    TE.map(({ width, height, map, facts }) => ({
      width,
      height,
      map: ints([1, height, width], Int32Array.from(map)),
      ...noteOf(source, { width, height }, facts),
    })),
  )

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
