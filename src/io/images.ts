import { extname } from 'node:path'
import type { Sharp } from 'sharp'
import { type Checked, type Effect, effect, fail, reasonOf } from '../error.ts'
import { optional } from '../optional.ts'
import { E, pipe, TE } from '../prelude.ts'
import { writeFileAtomic } from './atomic.ts'
import { fileFailure, readBytes } from './bytes.ts'
import { asArgument } from './names.ts'
import {
  type Arrangement,
  checkPicture,
  columnsOf,
  type GridLayout,
  grid,
  gridSize,
  mostPixels,
  type Picture,
  picturesOf,
  type Rgb,
  white,
} from './pictures.ts'

/** What reads and writes files of pictures. Errors: `run`, where it is not installed. */
export const imaging = optional('pictures', async () => (await import('sharp')).default)
type Imaging = typeof import('sharp').default

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
      const { width, height } = gridSize(layout)
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

const encode = ({ width, height, data }: Picture, as: (picture: Sharp) => Sharp): Effect<Uint8Array> =>
  pipe(
    imaging,
    TE.flatMap((sharp) =>
      TE.tryCatch(
        (): Promise<Uint8Array> =>
          as(sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: false })).toBuffer(),
        fileFailure('grid', 'pictures that can be encoded'),
      ),
    ),
  )
const gridOf = (values: Float32Array, layout: GridLayout): Checked<Picture> =>
  pipe(
    picturesOf(values, layout),
    E.flatMap((pictures) => grid(pictures, layout)),
  )

/** A picture as the bytes of a PNG file. */
export const encodePng = (picture: Picture): Effect<Uint8Array> => encode(picture, (as) => as.png())

/**
 * A grid of pictures as the bytes of a PNG file. Values beyond [-1, 1] are clamped; a pixel with a NaN is magenta.
 * Errors: `data` where sizes do not fit.
 */
export const encodeGrid = (values: Float32Array, layout: GridLayout): Effect<Uint8Array> =>
  pipe(TE.fromEither(gridOf(values, layout)), TE.flatMap(encodePng))

/** Writes a grid of pictures in the format that the path's extension says, whole or not at all. Errors: `data`, `file`. */
export const writeGrid = (path: string, values: Float32Array, layout: GridLayout): Effect<void> =>
  pipe(
    TE.fromEither(gridFits(path, layout)),
    TE.flatMapEither(() => gridOf(values, layout)),
    TE.flatMap((picture) => writePicture(path, picture)),
  )

/**
 * Writes a picture in the format that the path's extension says (.png, .jpg, .webp, .avif, .tiff), whole or not at all.
 * Errors: `data`, bytes that are not as many as its sizes say; `file`.
 *
 * @example
 * await orThrow(writePicture('red.png', { width: 1, height: 1, data: Uint8Array.of(255, 0, 0) }))
 */
export const writePicture = (path: string, picture: Picture): Effect<void> =>
  pipe(
    TE.fromEither(checkPicture(picture)),
    TE.flatMapEither(() => gridFits(path, { n: 1, width: picture.width, height: picture.height, columns: 1, gap: 0 })),
    TE.flatMapEither(() => formatOf(path)),
    TE.flatMap(({ encode: as }) => encode(picture, as)),
    TE.flatMap((bytes) => writeFileAtomic(path, bytes)),
  )

/** A picture file as a small one of a height at most, WebP. Errors: `file`. */
export const thumbnail = (path: string, bytes: Uint8Array, height: number): Effect<Uint8Array> =>
  asked(path, (sharp) => sharp(bytes).resize({ height, withoutEnlargement: true }).webp({ quality: 85 }).toBuffer())

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
export interface DecodedPicture {
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
const asked = <A>(path: string, of: (sharp: Imaging) => Promise<A>): Effect<A> =>
  pipe(
    imaging,
    TE.flatMap((sharp) =>
      pipe(
        TE.tryCatch(() => of(sharp), reasonOf),
        TE.mapLeft(fileFailure(path, readable)),
      ),
    ),
  )
const headOf = (path: string, bytes: Uint8Array) => asked(path, (sharp) => sharp(bytes).metadata())
/** What the head of a picture file says: its format as sharp names it (`png`, `jpeg`, `svg`), its size. Errors: `file`. */
export const pictureHead = (path: string, bytes: Uint8Array): Effect<Sides & { readonly format: string }> =>
  pipe(
    headOf(path, bytes),
    TE.map(({ format, width, height }) => ({ format, width, height })),
  )
const factsOf = (path: string, bytes: Uint8Array): Effect<PictureFacts> =>
  pipe(
    headOf(path, bytes),
    TE.flatMapEither(({ autoOrient: { width, height }, hasAlpha: alpha, pages: frames = 1, depth }) => {
      const bitsAChannel = depths[depth]
      return bitsAChannel === undefined
        ? fail('file', path, 'a picture of 8 or 16 bits a channel', depth, 'convert it to PNG')
        : E.right({ width, height, alpha, frames, bitsAChannel })
    }),
  )

/** The pixels, row-major, so many channels interleaved. */
const opened = (path: string, of: (sharp: Imaging) => Sharp) =>
  asked(path, (sharp) => of(sharp).raw().toBuffer({ resolveWithObject: true }))

/** `PictureOptions` at a width and a height. */
interface Laid extends Omit<PictureOptions, 'size'> {
  readonly width: number
  readonly height: number
}

const coloursOf = (path: string, bytes: Uint8Array, options: Laid): Effect<Uint8Array> => {
  const { width, height, background = white, fit = 'cover', kernel = 'lanczos3' } = options
  const [r, g, b] = background
  return pipe(
    opened(path, (sharp) =>
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
    opened(path, (sharp) =>
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
): Effect<DecodedPicture & Sides> =>
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
export const decodePicture = (
  path: string,
  bytes: Uint8Array,
  { size, ...options }: PictureOptions,
): Effect<DecodedPicture> =>
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
): Effect<DecodedPicture & Sides> => laidOut(path, bytes, { ...options, sizeOf })

/**
 * The picture in a file (PNG, JPEG, WebP, GIF, AVIF, TIFF, SVG) at its own size, upright, on white. Errors: `file`.
 *
 * @example
 * const { width, height, data } = await orThrow(readPicture('cat.png'))
 */
export const readPicture = (path: string): Effect<Picture> =>
  pipe(
    readBytes(path),
    TE.flatMap((bytes) => decodeAt(path, bytes, (own) => own)),
    TE.map(({ width, height, colours }) => {
      const plane = width * height
      return { width, height, data: colours.map((_, i) => colours[(i % 3) * plane + Math.floor(i / 3)] ?? 0) }
    }),
  )
