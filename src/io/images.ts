import { extname } from 'node:path'
import sharp, { type Sharp } from 'sharp'
import { type Checked, type Effect, effect, fail, reasonOf } from '../error.ts'
import { E, pipe, TE } from '../prelude.ts'
import { writeFileAtomic } from './atomic.ts'
import { fileFailure } from './bytes.ts'
import { asArgument } from './names.ts'

/** An 8-bit colour: red, green, blue. */
export type Rgb = readonly [number, number, number]

/** How pictures `[n, channels, height, width]` (one grey channel or red, green, blue; values in [-1, 1]) lie in a grid. */
export interface GridLayout {
  readonly n: number
  readonly channels: number
  readonly height: number
  readonly width: number
  /** Pictures a row. Default: as square as possible. */
  readonly columns?: number
  /** Pixels between pictures and around them. Default 2. */
  readonly gap?: number
  /** Each value becomes a square of `scale` by `scale` pixels. Default 1. */
  readonly scale?: number
  /** The colour of the gaps. Default white. */
  readonly background?: Rgb
}

/** A picture of 8-bit red, green and blue, interleaved, row-major. */
interface Canvas {
  readonly width: number
  readonly height: number
  readonly pixels: Uint8Array
}

const white: Rgb = [255, 255, 255]
const magenta: Rgb = [255, 0, 255]

/** 0..255 to [-1, 1]. */
export const ofByte = (byte: number): number => byte / 127.5 - 1
/** [-1, 1] to 0..255, rounded, clamped. */
export const toByte = (value: number): number => Math.round(Math.min(Math.max((value + 1) * 127.5, 0), 255))

type Arrangement = Pick<GridLayout, 'n' | 'height' | 'width' | 'columns' | 'gap' | 'scale'>
const columnsOf = ({ n, columns = Math.ceil(Math.sqrt(n)) }: Arrangement): number => columns
const canvasOf = (layout: Arrangement): { readonly width: number; readonly height: number } => {
  const { n, height, width, gap = 2, scale = 1 } = layout
  const columns = columnsOf(layout)
  return {
    width: columns * (width * scale + gap) + gap,
    height: Math.ceil(n / columns) * (height * scale + gap) + gap,
  }
}

const drawGrid = (pictures: Float32Array, layout: GridLayout): Canvas => {
  const { n, channels, height, width, gap = 2, scale = 1 } = layout
  const columns = columnsOf(layout)
  const { width: canvasWidth, height: canvasHeight } = canvasOf(layout)
  const pixels = new Uint8Array(canvasWidth * canvasHeight * 3)
  const background = layout.background ?? white
  for (let i = 0; i < pixels.length; i++) pixels[i] = background[i % 3] ?? 0
  const plane = height * width
  const planes = channels === 1 ? [0, 0, 0] : [0, plane, 2 * plane]
  for (let i = 0; i < n; i++) {
    const top = Math.floor(i / columns) * (height * scale + gap) + gap
    const left = (i % columns) * (width * scale + gap) + gap
    for (let y = 0; y < height * scale; y++)
      for (let x = 0; x < width * scale; x++) {
        const source = i * channels * plane + Math.floor(y / scale) * width + Math.floor(x / scale)
        const values = planes.map((offset) => pictures[source + offset] ?? Number.NaN)
        const colour = values.some(Number.isNaN) ? magenta : values.map(toByte)
        pixels.set(colour, ((top + y) * canvasWidth + left + x) * 3)
      }
  }
  return { width: canvasWidth, height: canvasHeight, pixels }
}

const natural = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

const checkGrid = (pictures: Float32Array, layout: GridLayout): Checked<GridLayout> => {
  const { n, channels, height, width, columns = 1, gap = 0, scale = 1 } = layout
  if (channels !== 1 && channels !== 3) return fail('data', 'grid', 'pictures of 1 or 3 channels', `${channels}`)
  if (![n, height, width, columns, scale].every((size) => natural(size) && size > 0) || !natural(gap))
    return fail('data', 'grid', 'positive integers for its sizes', JSON.stringify(layout))
  const expected = n * channels * height * width
  return pictures.length === expected
    ? E.right(layout)
    : fail('data', 'grid', `${expected} values, [${n}, ${channels}, ${height}, ${width}]`, `${pictures.length}`)
}

/** Pixels of the largest grid of pictures that is drawn. */
export const mostPixels = 2 ** 28

interface Format {
  readonly encode: (picture: Sharp) => Sharp
  /** How many pixels a side has at most: what the format, or its encoder, can say. */
  readonly mostSide: number
}
const jpeg: Format = {
  encode: (picture) => picture.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }),
  mostSide: 65_500,
}
const tiff: Format = { encode: (picture) => picture.tiff({ compression: 'lzw' }), mostSide: mostPixels }
/** What the extensions of files stand for; nothing is lost but in JPEG. */
const formats: Readonly<Record<string, Format>> = {
  '.png': { encode: (picture) => picture.png(), mostSide: mostPixels },
  '.jpg': jpeg,
  '.jpeg': jpeg,
  '.webp': { encode: (picture) => picture.webp({ lossless: true }), mostSide: 16_383 },
  '.avif': { encode: (picture) => picture.avif({ lossless: true }), mostSide: 16_384 },
  '.tif': tiff,
  '.tiff': tiff,
}
const formatOf = (path: string): Checked<Format> => {
  const extension = extname(path).toLowerCase()
  const format = Object.hasOwn(formats, extension) ? formats[extension] : undefined
  return format === undefined
    ? fail(
        'file',
        path,
        `a name that ends with a format of pictures: ${Object.keys(formats).join(' | ')}`,
        extension === '' ? 'no such end' : extension,
        `such as ${asArgument(`${path.slice(0, path.length - extension.length)}.png`)}`,
      )
    : E.right(format)
}

/** Nothing, where a grid of pictures is not too large to be written at a path. Errors: `file`, `data`. */
export const gridFits = (path: string, layout: Arrangement): Checked<unknown> =>
  pipe(
    formatOf(path),
    E.flatMap(({ mostSide }) => {
      const { width, height } = canvasOf(layout)
      return width <= mostSide && height <= mostSide && width * height <= mostPixels
        ? E.right(path)
        : fail(
            'data',
            path,
            width * height > mostPixels
              ? `at most ${mostPixels} pixels`
              : `sides of at most ${mostSide} pixels, as ${extname(path)} has`,
            `${layout.n} pictures in rows of ${columnsOf(layout)}: ${width}x${height} pixels`,
          )
    }),
  )

/** The path, whose extension says in which format pictures are written there. Errors: `file`. */
export const pictureFile = (path: string): Checked<string> =>
  pipe(
    formatOf(path),
    E.map(() => path),
  )

const encode = (pictures: Float32Array, layout: GridLayout, as: (picture: Sharp) => Sharp): Effect<Uint8Array> =>
  pipe(
    TE.fromEither(checkGrid(pictures, layout)),
    TE.map((checked) => drawGrid(pictures, checked)),
    TE.flatMap(({ width, height, pixels }) =>
      TE.tryCatch(
        (): Promise<Uint8Array> =>
          as(sharp(pixels, { raw: { width, height, channels: 3 }, limitInputPixels: false })).toBuffer(),
        fileFailure('grid', 'pictures that can be encoded'),
      ),
    ),
  )

/**
 * A grid of pictures as the bytes of a PNG file. Values beyond [-1, 1] are clamped; a pixel with a NaN is magenta.
 * Errors: `data` where sizes do not fit.
 */
export const encodeGrid = (pictures: Float32Array, layout: GridLayout): Effect<Uint8Array> =>
  encode(pictures, layout, (picture) => picture.png())

/** Writes a grid of pictures in the format that the path's extension says, whole or not at all. Errors: `data`, `file`. */
export const writeGrid = (path: string, pictures: Float32Array, layout: GridLayout): Effect<void> =>
  pipe(
    TE.fromEither(gridFits(path, layout)),
    TE.flatMapEither(() => formatOf(path)),
    TE.flatMap(({ encode: as }) => encode(pictures, layout, as)),
    TE.flatMap((bytes) => writeFileAtomic(path, bytes)),
  )

export interface PictureOptions {
  /** Width and height in pixels of what comes out. */
  readonly size: number
  /** What shows through transparent pixels. Default white. */
  readonly background?: Rgb
  /** `cover` cuts out the centre square, `contain` adds background to a square, `fill` stretches. Default `cover`. */
  readonly fit?: 'cover' | 'contain' | 'fill'
  /** The filter for making pictures smaller. Default `lanczos3`. */
  readonly kernel?: 'nearest' | 'linear' | 'cubic' | 'mitchell' | 'lanczos2' | 'lanczos3'
  /** Whether the picture's transparency is wanted too. Default no. */
  readonly coverage?: boolean
}

/** A picture's pixels as bytes, laid out to the size asked for. */
export interface Picture {
  /** `[3, height, width]`: red, green and blue, 0 to 255. */
  readonly colours: Uint8Array
  /** How much of each pixel it covers, `[height, width]`, 0 to 255; only where asked for. */
  readonly coverage?: Uint8Array
  /** What the file has, upright. */
  readonly facts: PictureFacts
}
export interface PictureFacts {
  readonly width: number
  readonly height: number
  readonly alpha: boolean
  /** Frames of an animation, pages of a document; the first is taken. */
  readonly frames: number
  readonly bitsAChannel: 8 | 16
}

const depths: Readonly<Record<string, PictureFacts['bitsAChannel']>> = { uchar: 8, ushort: 16 }

const readable = 'a readable picture'
const factsOf = (path: string, bytes: Uint8Array): Effect<PictureFacts> =>
  pipe(
    TE.tryCatch(() => sharp(bytes).metadata(), reasonOf),
    TE.mapLeft(fileFailure(path, readable)),
    TE.flatMapEither(({ autoOrient: { width, height }, hasAlpha: alpha, pages: frames = 1, depth }) => {
      const bitsAChannel = depths[depth]
      return bitsAChannel === undefined
        ? fail('file', path, 'a picture of 8 or 16 bits a channel', depth, 'convert it to PNG')
        : E.right({ width, height, alpha, frames, bitsAChannel })
    }),
  )

/** The pixels, row-major, so many channels interleaved. */
const opened = (path: string, of: () => Sharp) =>
  pipe(
    TE.tryCatch(() => of().raw().toBuffer({ resolveWithObject: true }), reasonOf),
    TE.mapLeft(fileFailure(path, readable)),
  )

/** `PictureOptions` at a width and a height. */
interface Laid extends Omit<PictureOptions, 'size'> {
  readonly width: number
  readonly height: number
}

const coloursOf = (path: string, bytes: Uint8Array, options: Laid): Effect<Uint8Array> => {
  const { width, height, background = white, fit = 'cover', kernel = 'lanczos3' } = options
  const [r, g, b] = background
  return pipe(
    opened(path, () =>
      sharp(bytes)
        .autoOrient()
        .flatten({ background: { r, g, b } })
        .resize({ width, height, fit, kernel, position: 'centre', background: { r, g, b } })
        .toColourspace('srgb'),
    ),
    TE.map(({ data, info: { channels } }) => {
      const plane = width * height
      const picture = new Uint8Array(3 * plane)
      for (let channel = 0; channel < 3; channel++) {
        const offset = channels < 3 ? 0 : channel
        for (let i = 0; i < plane; i++) picture[channel * plane + i] = data[i * channels + offset] ?? 0
      }
      return picture
    }),
  )
}

const coverageOf = (path: string, bytes: Uint8Array, options: Laid): Effect<Uint8Array> => {
  const { width, height, fit = 'cover', kernel = 'lanczos3' } = options
  const clear = { r: 0, g: 0, b: 0, alpha: 0 }
  return pipe(
    opened(path, () =>
      sharp(bytes)
        .autoOrient()
        .ensureAlpha()
        .resize({ width, height, fit, kernel, position: 'centre', background: clear })
        .extractChannel('alpha'),
    ),
    TE.map(({ data }) => Uint8Array.from(data)),
  )
}

export interface Sides {
  readonly width: number
  readonly height: number
}
const laidOut = (
  path: string,
  bytes: Uint8Array,
  { sizeOf, ...options }: Omit<PictureOptions, 'size'> & { readonly sizeOf: (own: Sides) => Sides },
): Effect<Picture & Sides> =>
  effect(async (run) => {
    const facts = await run(factsOf(path, bytes))
    const { width, height } = sizeOf(facts)
    const laid = { ...options, width, height }
    const colours = await run(coloursOf(path, bytes, laid))
    const coverage = options.coverage === true ? await run(coverageOf(path, bytes, laid)) : undefined
    return { width, height, facts, colours, ...(coverage === undefined ? {} : { coverage }) }
  })

/**
 * The content of a picture file (PNG, JPEG, WebP, GIF, AVIF, TIFF, SVG), turned upright as its EXIF data says and
 * composited on a fixed background; of several frames the first. Errors: `file`, with the path.
 *
 * ```ts
 * const picture = pipe(readBytes('cat.png'), TE.flatMap((bytes) => decodePicture('cat.png', bytes, { size: 64 })))
 * ```
 */
export const decodePicture = (path: string, bytes: Uint8Array, { size, ...options }: PictureOptions): Effect<Picture> =>
  pipe(
    laidOut(path, bytes, { ...options, sizeOf: () => ({ width: size, height: size }) }),
    TE.map(({ width: _, height: __, ...picture }) => picture),
  )

/**
 * A picture file upright at a size of its own or another, `[3, height, width]`, 0 to 255; what is cut off lies at its longer sides.
 * Errors: `file`.
 */
export const decodeAt = (
  path: string,
  bytes: Uint8Array,
  sizeOf: (own: Sides) => Sides,
  options: Pick<PictureOptions, 'kernel' | 'coverage'> = {},
): Effect<Picture & Sides> => laidOut(path, bytes, { ...options, sizeOf })
