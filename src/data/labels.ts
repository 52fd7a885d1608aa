import { type Checked, type Effect, fail } from '../error.ts'
import { readBytes } from '../io/bytes.ts'
import { type DecodedPicture, decodeAt, decodePicture } from '../io/images.ts'
import { E, pipe, RNEA, TE } from '../prelude.ts'
import { type Batch, type Dataset, type Found, loaded } from './dataset.ts'
import type { Keep } from './decode.ts'
import { type FolderOptions, findFolder } from './folder.ts'
import { type Encoding, oneChannelALabel, oneLabel } from './held.ts'
import { paired } from './paired.ts'

export interface LabelMapOptions {
  /** Width and height in pixels of what comes out. */
  readonly size: number
  /** How many labels there are. */
  readonly labels: number
}

/** The label of each pixel, `[size, size]`: its grey value. */
const keepLabels = (labels: number): Keep => ({
  planes: 1,
  of: ({ colours: rgb, coverage, facts }: DecodedPicture): Checked<Uint8Array> => {
    const refuse = (got: string): Checked<never> => fail('data', '', `grey values below ${labels}, each a label`, got)
    if (facts.bitsAChannel !== 8) return refuse(`${facts.bitsAChannel} bits a channel, of which 8 would be taken`)
    if (coverage?.some((alpha) => alpha < 255) === true) return refuse('transparency')
    const plane = rgb.length / 3
    const [r, g, b] = [0, 1, 2].map((i) => rgb.subarray(i * plane, (i + 1) * plane))
    const coloured = r === undefined || r.some((grey, i) => grey !== g?.[i] || grey !== b?.[i])
    const beyond = r?.find((label) => label >= labels)
    return coloured ? refuse('colours') : beyond !== undefined ? refuse(`${beyond}`) : E.right(r)
  },
})

/** Label maps as they are: no value between two labels, whatever the size. */
const mapOptions = ({ size, labels }: LabelMapOptions, encoding: Encoding): FolderOptions => ({
  size,
  kernel: 'nearest',
  keep: keepLabels(labels),
  encoding,
  coverage: true,
})

const withoutCoverage = ({ coverage: _, ...batch }: Batch): Batch => batch

/** What was decoded of a file, as a map beside the rest. */
const labelled =
  (path: string, labels: number) =>
  <A extends DecodedPicture>(picture: A): Checked<A & { readonly map: Uint8Array }> =>
    pipe(
      keepLabels(labels).of(picture),
      E.mapLeft(RNEA.map((e) => ({ ...e, at: path }))),
      E.map((map) => ({ ...picture, map })),
    )

/** One label map in a file, [size, size], and what the file was. Errors: `file`; `data` for colours, or another label. */
export const readLabelMap = (
  path: string,
  { size, labels }: LabelMapOptions,
  bytes: Effect<Uint8Array> = readBytes(path),
): Effect<{ readonly map: Uint8Array; readonly facts: DecodedPicture['facts'] }> =>
  pipe(
    bytes,
    TE.flatMap((read) => decodePicture(path, read, { size, kernel: 'nearest', coverage: true })),
    TE.flatMapEither(labelled(path, labels)),
  )

/** The same, [height, width], at a size of its own or another. */
export const readLabelMapAt = (
  path: string,
  labels: number,
  sizeOf: Parameters<typeof decodeAt>[2],
  bytes: Effect<Uint8Array> = readBytes(path),
) =>
  pipe(
    bytes,
    TE.flatMap((read) => decodeAt(path, read, sizeOf, { kernel: 'nearest', coverage: true })),
    TE.flatMapEither(labelled(path, labels)),
  )

/** As `loadLabelMaps`, but nothing is decoded yet. */
export const findLabelMaps = (dir: string, options: LabelMapOptions): Effect<Found> =>
  pipe(
    findFolder(dir, mapOptions(options, oneChannelALabel(options.labels))),
    TE.map((found) => ({
      ...found,
      load: pipe(
        found.load,
        TE.map((maps): Dataset => ({ ...maps, read: (indices) => pipe(maps.read(indices), TE.map(withoutCoverage)) })),
      ),
    })),
  )

/**
 * A folder of label maps, laid out as `loadFolder` reads it: a pixel's grey value is its label. `[n, labels, size, size]`, 1 in
 * the channel of the label and -1 elsewhere. Errors: those of `loadFolder`; `data` for a map with colours or another label.
 */
export const loadLabelMaps = (dir: string, options: LabelMapOptions): Effect<Dataset> =>
  loaded(findLabelMaps(dir, options))

/**
 * Pictures with their label maps, which a folder has under the same names, whatever the kinds of files. Errors: those of
 * `loadLabelMaps`; `data` for a picture without a map, or with two.
 */
export const withLabelMaps =
  (dir: string, options: LabelMapOptions) =>
  (pictures: Found): Effect<Found> =>
    pipe(
      findFolder(dir, mapOptions(options, oneLabel)),
      TE.map((maps) => paired({ dir, what: 'label map', put: (labels) => ({ maps: labels }) }, maps)(pictures)),
    )
