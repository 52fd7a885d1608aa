import type { Effect } from '../error.ts'
import { size } from '../graph/types.ts'
import { writeGrid } from '../io/images.ts'
import type { Items } from './inference.ts'

/** The pictures that a run shows. */

/** Originals in rows over their reconstructions. */
export const writeReconstructions = (path: string, originals: Items, others: Items, columns: number): Effect<void> => {
  const [channels = 3, height = 0, width = 0] = originals.shape
  const each = size(originals.shape)
  const count = Math.floor(originals.n / columns) * columns
  const data = new Float32Array(2 * count * each)
  data.set(originals.data.subarray(0, count * each))
  data.set(others.data.subarray(0, count * each), count * each)
  return writeGrid(path, data, { n: 2 * count, channels, height, width, columns, scale: 2 })
}

/** A class for each picture, `perClass` of each in a row. */
export const labelRows = (classes: number, perClass: number): readonly number[] =>
  Array.from({ length: Math.max(classes, 1) * perClass }, (_, i) => Math.floor(i / perClass))

export const writeSamples = (path: string, pictures: Items, columns: number): Effect<void> => {
  const [channels = 3, height = 0, width = 0] = pictures.shape
  return writeGrid(path, pictures.data, { n: pictures.n, channels, height, width, columns, scale: 2 })
}

export const previewName = (done: number): string => `step-${String(done).padStart(8, '0')}.png`
