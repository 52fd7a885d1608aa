import { constant, matmul, type Tensor } from '../declare/index.ts'
import { float } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import type { Layer } from './layers.ts'

/** The weights [to, from] of one axis, rows in a row. */
type Weights = (from: number, to: number) => readonly number[]

const rows = (from: number, to: number, weight: (i: number, j: number) => number): readonly number[] =>
  Array.from({ length: to * from }, (_, at) => weight(Math.floor(at / from), at % from))

/** Between the two nearest centres: `F.interpolate(mode='bilinear', align_corners=False)`. */
const bilinear: Weights = (from, to) =>
  rows(from, to, (i, j) => {
    const at = Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5))
    return Math.max(0, 1 - Math.abs(at - j))
  })
/** By how much of each old pixel a new one covers. */
const area: Weights = (from, to) =>
  rows(from, to, (i, j) => {
    const [low, high] = [(i * from) / to, ((i + 1) * from) / to]
    return (Math.max(0, Math.min(high, j + 1) - Math.max(low, j)) * to) / from
  })
const ways = { bilinear, area }

/** x[N, C, H, W] -> [N, C, height, width], each axis by a product with a matrix of weights. */
export const resize =
  (way: keyof typeof ways, height: number, width: number): Layer =>
  (x: Tensor) => {
    const [, , h = 0, w = 0] = x.shape
    const matrix = (from: number, to: number): Tensor => constant(ways[way](from, to), float(to, from))
    const down = height === h ? x : pipe(matrix(h, height), matmul(x))
    return width === w ? down : pipe(down, matmul(matrix(w, width), { transposeB: true }))
  }
