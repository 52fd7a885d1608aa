import { join } from 'node:path'
import { type Checked, type Effect, effect } from '../error.ts'
import { shownScale } from '../experiment/data-rules.ts'
import { size } from '../graph/types.ts'
import { gridFits, writeGrid } from '../io/images.ts'
import { inColour } from './colorize.ts'
import type { Items } from './inference.ts'

/** The pictures that a run shows. */

/** How pictures are shown: so many in a row, those without colours of their own through the projection of a seed. */
export interface Shown {
  readonly columns: number
  readonly seed: number
}

/** Nothing, where so many pictures of a size in rows can be written at a path. Errors: `file`, `data`. */
export const picturesFit = (
  path: string,
  { n, height, width }: { readonly n: number; readonly height: number; readonly width: number },
  columns: number,
): Checked<unknown> => gridFits(path, { n, height, width, columns, scale: shownScale(height) })

const writeRows = (path: string, { n, shape, data }: Items, columns: number): Effect<void> => {
  const [channels = 0, height = 0, width = 0] = shape
  return writeGrid(path, data, { n, channels, height, width, columns, scale: shownScale(height) })
}

/** Pictures in rows. Errors: `data`, `file`. */
export const writePictures = (path: string, pictures: Items, { columns, seed }: Shown): Effect<void> =>
  writeRows(path, inColour(pictures, seed), columns)

/** Each picture by itself, pixel by pixel, at the path of its place. Errors: `data`, `file`. */
export const writeEach = (paths: readonly string[], pictures: Items, seed: number): Effect<void> => {
  const { shape, data } = inColour(pictures, seed)
  const [[channels = 0, height = 0, width = 0], each] = [shape, size(shape)]
  return effect(async (run) => {
    for (const [i, path] of paths.entries())
      await run(
        writeGrid(path, data.subarray(i * each, (i + 1) * each), { n: 1, channels, height, width, columns: 1, gap: 0 }),
      )
  })
}

/**
 * Inputs in rows over their reconstructions; whole rows alone. Colours that are projected are scaled in each by itself, as the
 * reference does. Errors: `data`, `file`.
 */
export const writeReconstructions = (
  path: string,
  inputs: Items,
  reconstructions: Items,
  { columns, seed }: Shown,
): Effect<void> => {
  const { shape, data: above } = inColour(inputs, seed)
  const { data: below } = inColour(reconstructions, seed)
  const count = Math.floor(inputs.n / columns) * columns
  const half = count * size(shape)
  const data = new Float32Array(2 * half)
  data.set(above.subarray(0, half))
  data.set(below.subarray(0, half), half)
  return writeRows(path, { n: 2 * count, shape, data }, columns)
}

/** Pictures, each row of them over the same row of others; whole rows alone. Errors: `data`, `file`. */
export const writePairs = (path: string, above: Items, below: Items, shown: Shown): Effect<void> => {
  const row = shown.columns * size(above.shape)
  const rows = Math.floor(above.n / shown.columns)
  const data = new Float32Array(2 * rows * row)
  for (let i = 0; i < rows; i++) {
    data.set(above.data.subarray(i * row, (i + 1) * row), 2 * i * row)
    data.set(below.data.subarray(i * row, (i + 1) * row), (2 * i + 1) * row)
  }
  return writePictures(path, { n: 2 * rows * shown.columns, shape: above.shape, data }, shown)
}

/** How many held-out pictures are shown: at most two rows of 16. */
export const heldOutLayout = (heldOut: number): { readonly n: number; readonly columns: number } => ({
  n: Math.min(32, heldOut),
  columns: Math.min(16, heldOut),
})

/** The file of a stage's preview, which says what it shows. */
export const previewPath = (
  stageDir: string,
  done: number,
  shows: 'inputs-and-reconstructions' | 'prior-samples' | 'samples',
): string => join(stageDir, 'previews', `step-${String(done).padStart(8, '0')}-${shows}.png`)

/** The step and the kind of a preview, by its name. */
export const shownByPreview = (name: string): { readonly step: number; readonly shows: string } | undefined => {
  const [, step, shows] = /^step-(\d+)-([a-z-]+)\.png$/.exec(name) ?? []
  return step === undefined || shows === undefined ? undefined : { step: Number(step), shows }
}
