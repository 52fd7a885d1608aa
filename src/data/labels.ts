import { join } from 'node:path'
import { type Checked, type Effect, fail } from '../error.ts'
import { readBytes, sha256 } from '../io/bytes.ts'
import { decodeAt, decodePicture, type Picture } from '../io/images.ts'
import { E, pipe, RNEA, TE } from '../prelude.ts'
import { type About, type Batch, type Dataset, type Found, loaded } from './dataset.ts'
import type { Keep } from './decode.ts'
import { type FolderOptions, findFolder } from './folder.ts'
import { type Encoding, oneChannelALabel, oneLabel } from './held.ts'
import { collectFew, several, suchAs } from './left-out.ts'

export interface LabelMapOptions {
  /** Width and height in pixels of what comes out. */
  readonly size: number
  /** How many labels there are. */
  readonly labels: number
}

/** The label of each pixel, `[size, size]`: its grey value. */
const keepLabels = (labels: number): Keep => ({
  planes: 1,
  of: ({ colours: rgb, coverage, facts }: Picture): Checked<Uint8Array> => {
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
  <A extends Picture>(picture: A): Checked<A & { readonly map: Uint8Array }> =>
    pipe(
      keepLabels(labels).of(picture),
      E.mapLeft(RNEA.map((e) => ({ ...e, at: path }))),
      E.map((map) => ({ ...picture, map })),
    )

/** One label map in a file, [size, size], and what the file was. Errors: `file`; `data` for colours, or another label. */
export const readLabelMap = (
  path: string,
  { size, labels }: LabelMapOptions,
): Effect<{ readonly map: Uint8Array; readonly facts: Picture['facts'] }> =>
  pipe(
    readBytes(path),
    TE.flatMap((bytes) => decodePicture(path, bytes, { size, kernel: 'nearest', coverage: true })),
    TE.flatMapEither(labelled(path, labels)),
  )

/** The same, [height, width], at a size of its own or another. */
export const readLabelMapAt = (path: string, labels: number, sizeOf: Parameters<typeof decodeAt>[2]) =>
  pipe(
    readBytes(path),
    TE.flatMap((bytes) => decodeAt(path, bytes, sizeOf, { kernel: 'nearest', coverage: true })),
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

/** What a picture and its label map have in common: the path without the kind of file. */
const stem = (name: string): string => name.replace(/\.[^./]+$/, '')

const stemsOf = (dir: string, maps: Dataset): Checked<ReadonlyMap<string, number>> => {
  const places = new Map<string, number>()
  const all = Array.from({ length: maps.n }, (_, i) => maps.about(i).name)
  for (const [i, name] of all.entries()) if (!places.has(stem(name))) places.set(stem(name), i)
  return pipe(
    collectFew(
      all.map((name, i): Checked<string> => {
        const first = all[places.get(stem(name)) ?? i] ?? name
        return first === name ? E.right(name) : fail('data', join(dir, name), `one label map of ${stem(name)}`, first)
      }),
    ),
    E.map(() => places),
  )
}

/** Which map is whose. */
const mapOf = (dir: string, pictures: Dataset, places: ReadonlyMap<string, number>): Checked<readonly number[]> =>
  collectFew(
    Array.from({ length: pictures.n }, (_, i): Checked<number> => {
      const { name } = pictures.about(i)
      const index = places.get(stem(name))
      return index === undefined
        ? fail('data', join(dir, stem(name)), `the label map of ${name}`, 'no such file')
        : E.right(index)
    }),
  )

const unusedNotes = (maps: Dataset, used: ReadonlySet<number>): readonly string[] => {
  const unused = Array.from({ length: maps.n }, (_, i) => i).filter((i) => !used.has(i))
  return unused.length === 0
    ? []
    : [`${several(unused.length, 'label map')} without a picture${suchAs(unused.map((i) => maps.about(i).name))}`]
}

const withMap = (picture: About, map: About): About => ({
  ...picture,
  bytes: picture.bytes + map.bytes,
  sha256: sha256(picture.sha256 + map.sha256),
})

const joined = (dir: string, pictures: Dataset, maps: Dataset): Checked<Dataset> =>
  pipe(
    stemsOf(dir, maps),
    E.flatMap((places) => mapOf(dir, pictures, places)),
    E.map((of) => ({
      ...pictures,
      about: (i) => withMap(pictures.about(i), maps.about(of[i] ?? -1)),
      read: (indices) =>
        pipe(
          TE.Do,
          TE.bind('batch', () => pictures.read(indices)),
          TE.bind('labels', () => maps.read(Int32Array.from(indices, (i) => of[i] ?? -1))),
          TE.map(({ batch, labels }) => ({ ...batch, maps: labels.pictures })),
        ),
      notes: [...pictures.notes, ...maps.notes, ...unusedNotes(maps, new Set(of))],
    })),
  )

/**
 * Pictures with their label maps, which a folder has under the same names, whatever the kinds of files. Errors: those of
 * `loadLabelMaps`; `data` for a picture without a map, or with two.
 */
export const withLabelMaps =
  (dir: string, options: LabelMapOptions) =>
  (pictures: Found): Effect<Found> =>
    pipe(
      findFolder(dir, mapOptions(options, oneLabel)),
      TE.map((maps) => ({
        ...pictures,
        bytes: pictures.bytes + maps.bytes,
        load: pipe(
          TE.Do,
          TE.bind('pictures', () => pictures.load),
          TE.bind('maps', () => maps.load),
          TE.flatMapEither((loadedBoth) => joined(dir, loadedBoth.pictures, loadedBoth.maps)),
        ),
      })),
    )
