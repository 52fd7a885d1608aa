import { ofByte } from '../io/pictures.ts'
import { TE } from '../prelude.ts'
import { type About, type Batch, type Dataset, labelsOf } from './dataset.ts'

/** Pictures in memory, as bytes; a batch at a time becomes numbers. */

/** How a picture's bytes become its channels. */
export interface Encoding {
  readonly channels: number
  /** Bytes a pixel. */
  readonly planes: number
  /** `row` is `[planes, height, width]`, `out` is `[channels, height, width]`. */
  readonly fill: (row: Uint8Array, out: Float32Array) => void
}

const table = (of: (byte: number) => number): Float32Array => Float32Array.from({ length: 256 }, (_, byte) => of(byte))
const filledBy =
  (values: Float32Array): Encoding['fill'] =>
  (row, out) => {
    for (let j = 0; j < row.length; j++) out[j] = values[row[j] ?? 0] ?? 0
  }

/** Red, green, blue: 0 to 255 become -1 to 1. */
export const colours: Encoding = { channels: 3, planes: 3, fill: filledBy(table(ofByte)) }

/** The label of each pixel: 1 in its channel, -1 in the others. */
export const oneChannelALabel = (labels: number): Encoding => ({
  channels: labels,
  planes: 1,
  fill: (row, out) => {
    out.fill(-1)
    row.forEach((label, pixel) => {
      out[label * row.length + pixel] = 1
    })
  },
})

const one = { channels: 1, planes: 1 }
const fractions: Encoding = { ...one, fill: filledBy(table((byte) => byte / 255)) }
/** The label of each pixel, as a number. */
export const oneLabel: Encoding = { ...one, fill: filledBy(table((byte) => byte)) }

/** Rows of bytes as rows of numbers. */
const gathered = (
  rows: Uint8Array,
  { channels, planes, fill }: Encoding,
  plane: number,
  indices: ArrayLike<number>,
): Float32Array => {
  const batch = new Float32Array(indices.length * channels * plane)
  Array.from(indices).forEach((index, i) => {
    fill(
      rows.subarray(index * planes * plane, (index + 1) * planes * plane),
      batch.subarray(i * channels * plane, (i + 1) * channels * plane),
    )
  })
  return batch
}

export interface Held extends Pick<Dataset, 'height' | 'width' | 'classes' | 'notes'> {
  readonly about: readonly About[]
  readonly encoding: Encoding
  /** `[n, planes, height, width]`. */
  readonly pictures: Uint8Array
  /** `[n, height, width]`: 0 to 255. */
  readonly coverage?: Uint8Array
}

const nameless: About = { name: '', bytes: 0, sha256: '' }

/** A dataset of pictures in memory. */
export const held = ({ about, encoding, pictures, coverage, ...known }: Held): Dataset => {
  const plane = known.height * known.width
  const facts = { ...known, n: about.length, about: (i: number) => about[i] ?? nameless }
  const all = labelsOf(facts)
  const batch = (indices: ArrayLike<number>): Batch => ({
    pictures: gathered(pictures, encoding, plane, indices),
    ...(all === undefined ? {} : { labels: Int32Array.from(indices, (i) => all[i] ?? 0) }),
    ...(coverage === undefined ? {} : { coverage: gathered(coverage, fractions, plane, indices) }),
  })
  return { ...facts, channels: encoding.channels, read: (indices) => TE.fromIO(() => batch(indices)) }
}
