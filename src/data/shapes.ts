import { bits, fold, key } from '../distributions/random.ts'
import type { Effect } from '../error.ts'
import { sha256 } from '../io/bytes.ts'
import { TE } from '../prelude.ts'
import type { Random } from './batches.ts'
import type { BoxItem } from './boxes.ts'
import { type About, type Dataset, type Found, loaded } from './dataset.ts'
import { colours, held } from './held.ts'
import { captionOf, palette, type Saying, sayingOf, sceneOf, shapes, type Thing } from './scenes.ts'

export interface ShapesOptions {
  /** Pixels a side. */
  readonly size: number
  /** How many pictures. */
  readonly count: number
}

const chance =
  (name: string, i: number): Random =>
  (counter) =>
    bits(fold(fold(key(0), name), i), counter)[0]

/** Points of a pixel's side at which is looked whether a shape covers it. */
const looks = 4
const white = 1

/** A scene as bytes [3, size, size], edges in between. */
export const paint = (things: readonly Thing[], size: number): Uint8Array => {
  const plane = size * size
  const sums = new Float32Array(3 * plane).fill(white * looks * looks)
  const at = (i: number): number => (i + 0.5) / looks / size
  for (const { colour, shape, x, y, radius } of things) {
    const [from, to] = [
      [x, y].map((c) => Math.max(0, Math.floor((c - radius) * size * looks))),
      [x, y].map((c) => Math.min(size * looks, Math.ceil((c + radius) * size * looks))),
    ]
    const covers = shapes[shape]
    for (let j = from[1] ?? 0; j < (to[1] ?? 0); j++)
      for (let i = from[0] ?? 0; i < (to[0] ?? 0); i++) {
        const [u, v] = [(at(i) - x) / radius, (at(j) - y) / radius]
        if (Math.abs(u) > 1 || Math.abs(v) > 1 || !covers(u, v)) continue
        const pixel = Math.floor(j / looks) * size + Math.floor(i / looks)
        for (const [c, value] of palette[colour].entries())
          sums[c * plane + pixel] = (sums[c * plane + pixel] ?? 0) + value - white
      }
  }
  return Uint8Array.from(sums, (sum) => Math.round((255 * sum) / (looks * looks)))
}

/** How many things there are, and of the first its radius and its middle. */
const vectorOf = (things: readonly Thing[]): readonly number[] => {
  const { radius = 0, x = 0, y = 0 } = things[0] ?? {}
  return [things.length, radius, x, y]
}
/** A thing by its shape in the square that it fills. */
const boxOf = ({ x, y, radius, shape }: Thing): BoxItem => ({
  box: [x - radius, y - radius, x + radius, y + radius],
  class: shape,
})

/** What caption i of a kind says; `unseen`: of sorts that no picture of the data has. Not what the data's pictures say. */
export const askedSaying = (i: number, unseen: boolean): Saying =>
  sayingOf(chance(unseen ? 'asked-unseen' : 'asked', i), unseen)

const dataset = ({ size, count }: ShapesOptions): Dataset => {
  const each = 3 * size * size
  const pictures = new Uint8Array(count * each)
  const about = Array.from({ length: count }, (_, i): About => {
    const saying = sayingOf(chance('saying', i))
    const things = sceneOf(saying, chance('scene', i))
    const bytes = paint(things, size)
    pictures.set(bytes, i * each)
    return {
      name: `shapes ${i + 1}`,
      caption: captionOf(saying),
      vector: vectorOf(things),
      boxes: things.map(boxOf),
      bytes: bytes.length,
      sha256: sha256(bytes),
    }
  })
  return held({ about, encoding: colours, pictures, height: size, width: size, classes: [], notes: [] })
}

/** As `loadShapes`, but nothing is drawn yet. */
export const findShapes = (options: ShapesOptions): Found => ({
  n: options.count,
  classes: [],
  bytes: 3 * options.count * options.size ** 2,
  load: TE.fromIO(() => dataset(options)),
})

/**
 * Generated pictures of coloured shapes on white, and captions that say exactly what is there: shapes, colours, counts, relations. The
 * first n are the same however many there are. Some colours never come with some shapes (`unseenSorts`).
 *
 * ```ts
 * const dataset = await loadShapes({ size: 32, count: 1000 })()
 * ```
 */
export const loadShapes = (options: ShapesOptions): Effect<Dataset> => loaded(TE.right(findShapes(options)))
