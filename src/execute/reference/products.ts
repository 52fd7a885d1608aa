import type { Attributes, OpOf } from '../../graph/ops.ts'
import { type Shape, size } from '../../graph/types.ts'
import { broadcastStrides, dim, get, type Kernels, operand, positions, total } from './dense.ts'

/** Offsets of the matrices of `s` for each matrix of a batch that its leading axes broadcast to. */
const matrices = (s: Shape, batch: Shape): Int32Array => {
  const perMatrix = size(s.slice(-2))
  const steps = broadcastStrides(s.slice(0, -2), batch)
  return positions(
    batch,
    steps.map((step) => step * perMatrix),
  )
}
/** Steps along the rows and the columns of a matrix, as it is or transposed. */
const matrixSteps = (s: Shape, transposed: boolean): readonly [number, number] => {
  const columns = dim(s, s.length - 1)
  return transposed ? [1, columns] : [columns, 1]
}

type Window = Attributes['conv2d']
/** The results i, from one to before another, for which i * stride + offset lies within an extent. */
const within = (extent: number, results: number, stride: number, offset: number): readonly [number, number] => [
  Math.max(0, Math.ceil(-offset / stride)),
  Math.min(results, Math.floor((extent - 1 - offset) / stride) + 1),
]
/**
 * The one sum behind all three convolution ops, y[n,o,i,j] = sum over c, h, w of x[n,c,i s+h-p,j s+w-p] k[o,c,h,w]: calls `terms` for the
 * terms along each row of y, with the position of the first x, how far the next lies from it, the positions of k and of the first y, and
 * how many there are.
 */
const eachRow = (
  x: Shape,
  k: Shape,
  y: Shape,
  { stride, padding }: Window,
  terms: (x: number, step: number, k: number, y: number, count: number) => void,
): void => {
  const [batch, channels, height, width] = [dim(x, 0), dim(x, 1), dim(x, 2), dim(x, 3)]
  const [outs, kernelHeight, kernelWidth] = [dim(k, 0), dim(k, 2), dim(k, 3)]
  const [rows, columns] = [dim(y, 2), dim(y, 3)]
  const [down, right, top, left] = [dim(stride, 0), dim(stride, 1), dim(padding, 0), dim(padding, 1)]
  for (let n = 0; n < batch; n++)
    for (let o = 0; o < outs; o++)
      for (let c = 0; c < channels; c++)
        for (let h = 0; h < kernelHeight; h++)
          for (let w = 0; w < kernelWidth; w++) {
            const at = ((o * channels + c) * kernelHeight + h) * kernelWidth + w
            const [firstRow, endRow] = within(height, rows, down, h - top)
            const [first, end] = within(width, columns, right, w - left)
            for (let i = firstRow; i < endRow && first < end; i++) {
              const xRow = ((n * channels + c) * height + i * down + h - top) * width
              const yRow = ((n * outs + o) * rows + i) * columns
              terms(xRow + first * right + w - left, right, at, yRow + first, end - first)
            }
          }
}

export const products: Kernels<OpOf<'product' | 'convolution'>> = {
  matmul: total(({ transposeA, transposeB }, xs, { shape }) => {
    const [a, b] = [operand(xs, 0), operand(xs, 1)]
    const [m, n] = [dim(shape, shape.length - 2), dim(shape, shape.length - 1)]
    const inner = dim(a.type.shape, a.type.shape.length - (transposeA ? 2 : 1))
    const [aRow, aColumn] = matrixSteps(a.type.shape, transposeA)
    const [bRow, bColumn] = matrixSteps(b.type.shape, transposeB)
    const [as, bs] = [matrices(a.type.shape, shape.slice(0, -2)), matrices(b.type.shape, shape.slice(0, -2))]
    const out = new Float64Array(size(shape))
    as.forEach((aAt, batch) => {
      const bAt = bs[batch] ?? -1
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          let sum = 0
          for (let k = 0; k < inner; k++)
            sum += get(a.data, aAt + i * aRow + k * aColumn) * get(b.data, bAt + k * bRow + j * bColumn)
          out[(batch * m + i) * n + j] = sum
        }
    })
    return out
  }),
  conv2d: total((window, xs, { shape }) => {
    const [x, k] = [operand(xs, 0), operand(xs, 1)]
    const out = new Float64Array(size(shape))
    eachRow(x.type.shape, k.type.shape, shape, window, (xAt, step, kAt, yAt, count) => {
      const weight = get(k.data, kAt)
      for (let j = 0; j < count; j++) out[yAt + j] = get(out, yAt + j) + get(x.data, xAt + j * step) * weight
    })
    return out
  }),
  convInputGrad: total((window, xs, { shape }) => {
    const [dy, k] = [operand(xs, 0), operand(xs, 1)]
    const out = new Float64Array(size(shape))
    eachRow(shape, k.type.shape, dy.type.shape, window, (xAt, step, kAt, yAt, count) => {
      const weight = get(k.data, kAt)
      for (let j = 0; j < count; j++) out[xAt + j * step] = get(out, xAt + j * step) + get(dy.data, yAt + j) * weight
    })
    return out
  }),
  convWeightGrad: total((window, xs, { shape }) => {
    const [x, dy] = [operand(xs, 0), operand(xs, 1)]
    const out = new Float64Array(size(shape))
    eachRow(x.type.shape, shape, dy.type.shape, window, (xAt, step, kAt, yAt, count) => {
      let sum = get(out, kAt)
      for (let j = 0; j < count; j++) sum += get(x.data, xAt + j * step) * get(dy.data, yAt + j)
      out[kAt] = sum
    })
    return out
  }),
}
