import type { Shape } from '../../../graph/types.ts'
import type { Geometry } from '../../geometry.ts'
import type { Algorithms } from '../calls.ts'
import type { Lowered } from '../devices.ts'
import type { Target } from '../target.ts'
import {
  type Constant,
  call,
  concat,
  constantOf,
  int,
  int64s,
  ofShape,
  pad,
  reduceSum,
  reshape,
  slice,
  type Value,
} from '../value.ts'
import { fullPadding } from '../windows.ts'
import { minimalWeightGradient } from './minimal.ts'
import { product } from './products.ts'

/** Of x and dy, as they lie for the algorithm, dw as it makes it (`layouts.ts`). */
type WeightGradient = (x: Value, dy: Value, g: Geometry, target: Target) => Value

const taps = ({ kh, kw }: Geometry): readonly (readonly [number, number])[] =>
  Array.from({ length: kh * kw }, (_, t) => [Math.floor(t / kw), t % kw] as const)
/** dw[h w C, O] to dw[h, w, C, O] */
const fromColumns = (dw: Value, { o, c, kh, kw }: Geometry): Value =>
  reshape(ofShape(dw, [kh * kw * c, o]), [kh, kw, c, o])

/**
 * How many parts a long sum over positions is made in. ONNX Runtime shares a product out by its rows and columns,
 * never along its sum, so a small product of two long matrices keeps one thread busy; two parts keep two.
 */
const partsOf = (positions: number, { o, c }: Geometry, { costs: { halved } }: Target): number =>
  positions % 2 === 0 && (positions >= halved.positions || o * c >= halved.product) ? 2 : 1

/** Sums over positions of x^T dy, for each tap's dy[positions, O] and x[positions, C]: [h, w, C, O] */
const fromTaps = (
  pairs: readonly (readonly [dy: Value, x: Value])[],
  positions: number,
  g: Geometry,
  target: Target,
): Value => {
  const { o, c, kh, kw } = g
  const parts = partsOf(positions, g, target)
  const shapeOf = (channels: number): Shape => [parts, positions / parts, channels]
  const [dyShape, xShape] = [shapeOf(o), shapeOf(c)]
  const products = pairs.map(([dy, x]) =>
    reshape(
      product(target.device, [reshape(x, xShape), xShape], [reshape(dy, dyShape), dyShape], { transposeA: true }),
      [1, parts, c, o],
    ),
  )
  return reshape(reduceSum(concat(0, products), [1], false), [kh, kw, c, o])
}

const byShiftedInput: WeightGradient = (x, dy, g, target) => {
  const padded = pad(x, [0, g.top, g.left, 0], [0, g.bottom, g.right, 0])
  const rows = dy
  const pairs = taps(g).map(([i, j]): readonly [Value, Value] => {
    const end = [g.n, i + (g.oh - 1) * g.sh + 1, j + (g.ow - 1) * g.sw + 1, g.c]
    return [rows, slice(padded, [0, i, j, 0], end, [1, g.sh, g.sw, 1])]
  })
  return fromTaps(pairs, g.n * g.oh * g.ow, g, target)
}

/** The same sums, walked over x's positions: cheaper where dy has fewer channels. */
const byShiftedOutput: WeightGradient = (x, dy, g, target) => {
  const [top, left, bottom, right] = fullPadding(g)
  const padded = pad(dy, [0, top, left, 0], [0, bottom, right, 0])
  const rows = x
  const pairs = taps(g).map(([i, j]): readonly [Value, Value] => {
    const [si, sj] = [g.kh - 1 - i, g.kw - 1 - j]
    return [slice(padded, [0, si, sj, 0], [g.n, si + g.h, sj + g.w, g.o]), rows]
  })
  return fromTaps(pairs, g.n * g.h * g.w, g, target)
}

/** Items of h by w positions, of which each tap of each result reads one. */
type Gathered = Pick<Geometry, 'n' | 'h' | 'w' | 'oh' | 'ow' | 'kh' | 'kw' | 'sh' | 'sw'>

const tapRows = ({ n, h, w, oh, ow, kh, kw, sh, sw }: Gathered): Int32Array => {
  const rows = new Int32Array(n * oh * ow * kh * kw)
  let next = 0
  for (let item = 0; item < n; item++)
    for (let y = 0; y < oh; y++)
      for (let x = 0; x < ow; x++)
        for (let i = 0; i < kh; i++)
          for (let j = 0; j < kw; j++) rows[next++] = (item * h + y * sh + i) * w + x * sw + j
  return rows
}
const rowsOf = (g: Gathered): Constant => constantOf('int32', [g.n * g.oh * g.ow, g.kh * g.kw], tapRows(g))
/** All taps of padded[n h w, b] side by side, transposed, times rows[positions, a]: [kh, kw, b, a] */
const byGathering = (
  device: Lowered,
  [rows, a]: readonly [Value, number],
  [padded, b]: readonly [Value, number],
  g: Gathered,
): Value => {
  const [positions, columns] = [g.n * g.oh * g.ow, g.kh * g.kw * b]
  const seen = call('Gather', [reshape(padded, [g.n * g.h * g.w, b]), rowsOf(g)], { axis: int(0) })
  const [left, right]: readonly [Shape, Shape] = [
    [positions, a],
    [positions, columns],
  ]
  const summed = product(device, [reshape(seen, right), right], [reshape(rows, left), left], { transposeA: true })
  return reshape(ofShape(summed, [columns, a]), [g.kh, g.kw, b, a])
}

/** Small maps: one product instead of one a tap. */
const byGatheredInput: WeightGradient = (x, dy, g, { device }) => {
  const padded = pad(x, [0, g.top, g.left, 0], [0, g.bottom, g.right, 0])
  const sides = { h: g.h + g.top + g.bottom, w: g.w + g.left + g.right }
  return byGathering(device, [dy, g.o], [padded, g.c], { ...g, ...sides })
}
const byGatheredOutput: WeightGradient = (x, dy, g, { device }) => {
  const [top, left, bottom, right] = fullPadding(g)
  const padded = pad(dy, [0, top, left, 0], [0, bottom, right, 0])
  const sides = { h: g.oh + top + bottom, w: g.ow + left + right, oh: g.h, ow: g.w }
  const taps = byGathering(device, [x, g.c], [padded, g.o], { ...g, ...sides })
  return [g.kh, g.kw].reduce(
    (x, d, i) => call('Gather', [x, int64s(Array.from({ length: d }, (_, k) => d - 1 - k))], { axis: int(i) }),
    taps,
  )
}
/** a[n, rows, positions] b[n, columns, positions]^T, summed over items: [rows, columns]. Both stay channels first. */
const overItems = (
  device: Lowered,
  [a, rows]: readonly [Value, number],
  [b, columns]: readonly [Value, number],
  [n, positions]: readonly [number, number],
): Value => {
  const [left, right]: readonly [Shape, Shape] = [
    [n, rows, positions],
    [n, columns, positions],
  ]
  const perItem = product(device, [reshape(a, left), left], [reshape(b, right), right], { transposeB: true })
  return ofShape(reduceSum(perItem, [0], false), [rows, columns])
}

/**
 * Large maps, a row of taps at a time: the columns that the taps see side by side, times dy moved down by as many rows as they
 * are. Both stay channels first, and nothing is copied once for each tap.
 */
const byRows: WeightGradient = (x, dy, g, { device }) => {
  const height = g.oh + g.kh - 1
  const seen = Array.from({ length: g.kw }, (_, j) => {
    const before = g.left - j
    return pad(x, [0, 0, g.top, before], [0, 0, g.bottom, g.ow - g.w - before])
  })
  const columns = concat(1, seen)
  const rows = Array.from({ length: g.kh }, (_, i) => {
    const moved = pad(dy, [0, 0, i, 0], [0, 0, g.kh - 1 - i, 0])
    return overItems(device, [columns, g.kw * g.c], [moved, g.o], [g.n, height * g.ow])
  })
  return fromColumns(concat(0, rows), g)
}
/** Few input channels: all taps of all channels side by side in one product an item. */
const byColumns: WeightGradient = (x, dy, g, { device }) => {
  const padded = pad(x, [0, 0, g.top, g.left], [0, 0, g.bottom, g.right])
  const seen = taps(g).map(([i, j]) =>
    slice(padded, [0, 0, i, j], [g.n, g.c, i + (g.oh - 1) * g.sh + 1, j + (g.ow - 1) * g.sw + 1], [1, 1, g.sh, g.sw]),
  )
  const columns = g.kh * g.kw * g.c
  return fromColumns(overItems(device, [concat(1, seen), columns], [dy, g.o], [g.n, g.oh * g.ow]), g)
}

/** Few output channels: all taps of dy side by side, over x's positions. */
const byOutputColumns: WeightGradient = (x, dy, g, { device }) => {
  const [top, left, bottom, right] = fullPadding(g)
  const padded = pad(dy, [0, 0, top, left], [0, 0, bottom, right])
  const seen = taps(g).map(([i, j]) => {
    const [si, sj] = [g.kh - 1 - i, g.kw - 1 - j]
    return slice(padded, [0, 0, si, sj], [g.n, g.o, si + g.h, sj + g.w])
  })
  const rows = g.kh * g.kw * g.o
  const dw = overItems(device, [concat(1, seen), rows], [x, g.c], [g.n, g.h * g.w])
  return reshape(dw, [g.kh, g.kw, g.o, g.c])
}

/** 1x1: no shifts. */
const byPositions: WeightGradient = (x, dy, g, { device }) =>
  reshape(overItems(device, [dy, g.o], [x, g.c], [g.n, g.h * g.w]), [g.o, g.c, 1, 1])

export const weightGradients: { readonly [A in Algorithms['convWeightGrad']]: WeightGradient } = {
  positions: byPositions,
  'columns of x': byColumns,
  'columns of dy': byOutputColumns,
  minimal: minimalWeightGradient,
  'gathered x': byGatheredInput,
  'gathered dy': byGatheredOutput,
  rows: byRows,
  'shifted x': byShiftedInput,
  'shifted dy': byShiftedOutput,
}
