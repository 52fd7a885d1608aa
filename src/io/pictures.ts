import { type Checked, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'

/** Pictures in memory, and grids of them. */

/**
 * A picture in memory: red, green and blue of 8 bits each, three bytes a pixel, row by row from the upper left corner.
 *
 * @example
 * const red: Picture = { width: 1, height: 1, data: Uint8Array.of(255, 0, 0) }
 */
export interface Picture {
  readonly width: number
  readonly height: number
  readonly data: Uint8Array
}

/** Pixels of the largest grid of pictures that is drawn. */
export const mostPixels = 2 ** 28

/** An 8-bit colour: red, green, blue. */
export type Rgb = readonly [number, number, number]

/** How pictures lie in a grid. */
export interface GridOptions {
  /** Pictures a row. Default: as square as possible. */
  readonly columns?: number
  /** Pixels between pictures and around them. Default 2. */
  readonly gap?: number
  /** Each pixel becomes a square of `scale` by `scale` pixels. Default 1. */
  readonly scale?: number
  /** The colour of the gaps. Default white. */
  readonly background?: Rgb
}

/** How pictures `[n, channels, height, width]` (one grey channel or red, green, blue; values in [-1, 1]) lie in a grid. */
export interface GridLayout extends GridOptions {
  readonly n: number
  readonly channels: number
  readonly height: number
  readonly width: number
}

export const white: Rgb = [255, 255, 255]
const magenta: Rgb = [255, 0, 255]

/** 0..255 to [-1, 1]. */
export const ofByte = (byte: number): number => byte / 127.5 - 1
/** [-1, 1] to 0..255, rounded, clamped. */
export const toByte = (value: number): number => Math.round(Math.min(Math.max((value + 1) * 127.5, 0), 255))

export type Arrangement = Pick<GridLayout, 'n' | 'height' | 'width' | 'columns' | 'gap' | 'scale'>
export const columnsOf = ({ n, columns = Math.ceil(Math.sqrt(n)) }: Arrangement): number => columns
/** The size of a grid in pixels. */
export const gridSize = (layout: Arrangement): { readonly width: number; readonly height: number } => {
  const { n, height, width, gap = 2, scale = 1 } = layout
  const columns = columnsOf(layout)
  return {
    width: columns * (width * scale + gap) + gap,
    height: Math.ceil(n / columns) * (height * scale + gap) + gap,
  }
}

const natural = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

/** Errors (`data`): sizes that are none, or that the values do not have. */
const checkValues = (values: Float32Array, layout: GridLayout): Checked<GridLayout> => {
  const { n, channels, height, width, columns = 1, gap = 0, scale = 1 } = layout
  if (channels !== 1 && channels !== 3) return fail('data', 'grid', 'pictures of 1 or 3 channels', `${channels}`)
  if (![n, height, width, columns, scale].every((size) => natural(size) && size > 0) || !natural(gap))
    return fail('data', 'grid', 'positive integers for its sizes', JSON.stringify(layout))
  const expected = n * channels * height * width
  return values.length === expected
    ? E.right(layout)
    : fail('data', 'grid', `${expected} values, [${n}, ${channels}, ${height}, ${width}]`, `${values.length}`)
}

/** Values [n, channels, height, width] in [-1, 1] as pictures: clamped, a pixel with a NaN magenta. Errors: `data`. */
export const picturesOf = (values: Float32Array, layout: GridLayout): Checked<readonly Picture[]> =>
  pipe(
    checkValues(values, layout),
    E.map(({ n, channels, height, width }) => {
      const plane = height * width
      const planes = channels === 1 ? [0, 0, 0] : [0, plane, 2 * plane]
      return Array.from({ length: n }, (_, i) => {
        const data = new Uint8Array(3 * plane)
        for (let at = 0; at < plane; at++) {
          const colour = planes.map((offset) => values[i * channels * plane + offset + at] ?? Number.NaN)
          data.set(colour.some(Number.isNaN) ? magenta : colour.map(toByte), 3 * at)
        }
        return { width, height, data }
      })
    }),
  )

/** A picture whose bytes are as many as its sizes say. Errors (`data`), at its place. */
export const checkPicture = ({ width, height, data }: Picture, at = 'picture'): Checked<Picture> =>
  !(natural(width) && natural(height) && width > 0 && height > 0)
    ? fail('data', at, 'a width and a height of at least a pixel', `${width}x${height}`)
    : data instanceof Uint8Array && data.length === 3 * width * height
      ? E.right({ width, height, data })
      : fail(
          'data',
          at,
          `a Uint8Array of ${3 * width * height} bytes, three for each of ${width}x${height} pixels`,
          data instanceof Uint8Array ? `${data.length}` : 'something else',
        )

/**
 * Pictures of one size in rows, as one picture. Errors (`data`): none, or of several sizes.
 *
 * @example
 * const red = { width: 1, height: 1, data: Uint8Array.of(255, 0, 0) }
 * orThrow(grid([red, red], { columns: 2, gap: 0 })) // { width: 2, height: 1, data: 255, 0, 0, 255, 0, 0 }
 */
export const grid = (pictures: readonly Picture[], options: GridOptions = {}): Checked<Picture> => {
  const [first] = pictures
  if (first === undefined) return fail('data', 'grid', 'at least one picture', 'none')
  const other = pictures.find(({ width, height }) => width !== first.width || height !== first.height)
  if (other !== undefined)
    return fail(
      'data',
      'grid',
      `pictures of one size, ${first.width}x${first.height}`,
      `one of ${other.width}x${other.height}`,
    )
  const { gap = 2, scale = 1, background = white } = options
  const { width, height } = first
  const layout = { ...options, n: pictures.length, width, height }
  const columns = columnsOf(layout)
  if (![columns, scale].every((size) => natural(size) && size > 0) || !natural(gap))
    return fail('data', 'grid', 'positive integers for its sizes', JSON.stringify(options))
  const size = gridSize(layout)
  const data = new Uint8Array(size.width * size.height * 3)
  for (let i = 0; i < data.length; i++) data[i] = background[i % 3] ?? 0
  for (const [i, picture] of pictures.entries()) {
    const top = Math.floor(i / columns) * (height * scale + gap) + gap
    const left = (i % columns) * (width * scale + gap) + gap
    for (let y = 0; y < height * scale; y++)
      for (let x = 0; x < width * scale; x++) {
        const from = 3 * (Math.floor(y / scale) * width + Math.floor(x / scale))
        data.set(picture.data.subarray(from, from + 3), ((top + y) * size.width + left + x) * 3)
      }
  }
  return E.right({ ...size, data })
}
