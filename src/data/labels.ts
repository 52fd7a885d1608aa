import { type Checked, type Effect, fail } from '../error.ts'
import { E, pipe, TE } from '../prelude.ts'
import type { Dataset } from './dataset.ts'
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

const oneChannelALabel =
  (labels: number) =>
  (maps: Dataset): Checked<Dataset> => {
    const plane = maps.height * maps.width
    const pictures = new Float32Array(maps.n * labels * plane).fill(-1)
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
        pictures[(i * labels + label) * plane + pixel] = 1
      }
    return E.right({ ...maps, pictures, channels: labels })
  }

/**
 * A folder of label maps, laid out as `loadFolder` reads it: a pixel's grey value is its label. `[n, labels, size, size]`, 1 in
 * the channel of the label and -1 elsewhere. Errors: those of `loadFolder`; `data` for a map with colours or another label.
 */
export const loadLabelMaps = (dir: string, { size, labels }: LabelMapOptions): Effect<Dataset> =>
  pipe(loadFolder(dir, { size, kernel: 'nearest' }), TE.flatMapEither(oneChannelALabel(labels)))
