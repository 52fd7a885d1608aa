import { join } from 'node:path'
import { type Checked, collect, type Effect, fail } from '../error.ts'
import { sha256 } from '../io/bytes.ts'
import { E, pipe, TE } from '../prelude.ts'
import { type About, type Dataset, gatherPlanes } from './dataset.ts'
import { loadFolder } from './folder.ts'

export interface LabelMapOptions {
  /** Width and height in pixels of what comes out. */
  readonly size: number
  /** How many labels there are. */
  readonly labels: number
}

/** Values of three equal channels in [-1, 1] as the bytes that they were read from; -1 where the channels differ. */
const greyOf = (pictures: Float32Array, plane: number, picture: number, pixel: number): number => {
  const at = 3 * picture * plane + pixel
  const [r, g, b] = [0, plane, 2 * plane].map((offset) => pictures[at + offset])
  return r === g && g === b && r !== undefined ? Math.round((r + 1) * 127.5) : -1
}

/** The label of each pixel, `[n, size, size]`. */
const labelsOf =
  (labels: number) =>
  (maps: Dataset): Checked<Float32Array> => {
    const plane = maps.height * maps.width
    const found = new Float32Array(maps.n * plane)
    for (let i = 0; i < maps.n; i++)
      for (let pixel = 0; pixel < plane; pixel++) {
        const label = greyOf(maps.pictures, plane, i, pixel)
        if (label < 0 || label >= labels)
          return fail(
            'data',
            maps.names[i] ?? '',
            `grey values below ${labels}, each a label`,
            label < 0 ? 'colours' : `${label}`,
          )
        found[i * plane + pixel] = label
      }
    return E.right(found)
  }

const oneChannelALabel =
  (labels: number) =>
  (maps: Dataset): Checked<Dataset> =>
    pipe(
      labelsOf(labels)(maps),
      E.map((found) => {
        const plane = maps.height * maps.width
        const pictures = new Float32Array(maps.n * labels * plane).fill(-1)
        found.forEach((label, at) => {
          pictures[(Math.floor(at / plane) * labels + label) * plane + (at % plane)] = 1
        })
        return { ...maps, pictures, channels: labels }
      }),
    )

/**
 * A folder of label maps, laid out as `loadFolder` reads it: a pixel's grey value is its label. `[n, labels, size, size]`, 1 in
 * the channel of the label and -1 elsewhere. Errors: those of `loadFolder`; `data` for a map with colours or another label.
 */
export const loadLabelMaps = (dir: string, { size, labels }: LabelMapOptions): Effect<Dataset> =>
  pipe(loadFolder(dir, { size, kernel: 'nearest' }), TE.flatMapEither(oneChannelALabel(labels)))

/** What a picture and its label map have in common: the path without the kind of file. */
const stem = (name: string): string => name.replace(/\.[^./]+$/, '')

const withMap = (picture: About, map: About): About => ({
  ...picture,
  bytes: picture.bytes + map.bytes,
  sha256: sha256(picture.sha256 + map.sha256),
})

/**
 * Pictures with their label maps, which a folder has under the same names, whatever the kinds of files. Errors: those of
 * `loadLabelMaps`; `data` for a picture without a map.
 */
export const withLabelMaps =
  (dir: string, options: LabelMapOptions) =>
  (pictures: Dataset): Effect<Dataset> =>
    pipe(
      loadFolder(dir, { size: options.size, kernel: 'nearest' }),
      TE.flatMapEither((maps) => {
        const places = new Map(maps.names.map((name, i) => [stem(name), i]))
        return pipe(
          labelsOf(options.labels)(maps),
          E.bindTo('labels'),
          E.bind('indices', () =>
            collect(
              pictures.names.map((name): Checked<number> => {
                const index = places.get(stem(name))
                return index === undefined
                  ? fail('data', join(dir, stem(name)), `the label map of ${name}`, 'no such file')
                  : E.right(index)
              }),
            ),
          ),
          E.map(({ labels, indices }) => ({
            ...pictures,
            about: (i) => withMap(pictures.about(i), maps.about(indices[i] ?? -1)),
            maps: gatherPlanes(maps, labels, indices),
          })),
        )
      }),
    )
