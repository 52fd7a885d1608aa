import { type Effect, effect } from '../error.ts'
import { size } from '../graph/types.ts'
import { squaredDistance } from '../metrics/points.ts'
import { type Items, type Rows, range } from './inference.ts'
import { type Shown, writePairs } from './pictures.ts'
import { spread } from './validation.ts'

/** Which pictures that were trained on samples are nearest to: a model that has learnt some by heart draws those. */

/** Samples that are looked for, and pictures that they are looked for among. */
const [mostSamples, mostPictures] = [64, 10_000] as const
/** Pictures in memory at a time. */
const atATime = 256

export interface Nearest {
  readonly file: string
  /** Pictures that were looked at. */
  readonly among: number
}

/** Of each sample the nearest picture, pixel by pixel, as its index. */
const nearestOf = (samples: Items, pictures: Rows, among: readonly number[]): Effect<Int32Array> =>
  effect(async (run) => {
    const dim = size(samples.shape)
    const best = new Float64Array(samples.n).fill(Number.POSITIVE_INFINITY)
    const at = new Int32Array(samples.n)
    for (let from = 0; from < among.length; from += atATime) {
      const indices = among.slice(from, from + atATime)
      const batch = { n: indices.length, dim, data: await run(pictures.read(indices)) }
      for (let i = 0; i < samples.n; i++)
        for (let j = 0; j < batch.n; j++) {
          const bound = best[i] ?? 0
          const distance = squaredDistance({ ...samples, dim }, i, batch, j, bound)
          if (distance < bound) [best[i], at[i]] = [distance, indices[j] ?? 0]
        }
    }
    return at
  })

/** Writes samples, each row of them over the nearest pictures; whole rows, so many at most. Errors: `data`, `file`. */
export const writeNearest = (file: string, drawn: Items, pictures: Rows, shown: Shown): Effect<Nearest> =>
  effect(async (run) => {
    const columns = Math.min(shown.columns, drawn.n)
    const n = Math.max(columns, Math.floor(Math.min(drawn.n, mostSamples) / columns) * columns)
    const samples = { ...drawn, n, data: drawn.data.subarray(0, n * size(drawn.shape)) }
    const among = pictures.n > mostPictures ? spread(pictures.n, mostPictures) : range(0, pictures.n)
    const indices = await run(nearestOf(samples, pictures, among))
    const below = { ...samples, data: await run(pictures.read(indices)) }
    await run(writePairs(file, samples, below, { ...shown, columns }))
    return { file, among: among.length }
  })
