import type { Shape } from '../../graph/types.ts'
import type { Geometry } from '../geometry.ts'
import type { Device } from './devices.ts'
import { type Choice, choose, fullPadding, hasUnitStride, isFlippable, isPointwise } from './geometry.ts'
import type { Target } from './lowering.ts'
import { product } from './products.ts'
import {
  type Constant,
  call,
  concat,
  constantOf,
  int,
  int64s,
  pad,
  reduceSum,
  reshape,
  slice,
  transpose,
  type Value,
} from './value.ts'

type WeightGradient = (x: Value, dy: Value, g: Geometry, target: Target) => Value

const taps = ({ kh, kw }: Geometry): readonly (readonly [number, number])[] =>
  Array.from({ length: kh * kw }, (_, t) => [Math.floor(t / kw), t % kw] as const)
/** dw[h, w, C, O], as products make it, to dw[O, C, h, w] */
const turnedBack = (dw: Value): Value => transpose(dw, [3, 2, 0, 1])
const channelsLast = (x: Value): Value => transpose(x, [0, 2, 3, 1])

/**
 * How many parts a long sum over positions is made in. ONNX Runtime shares a product out by its rows and columns,
 * never along its sum, so a small product of two long matrices keeps one thread busy; two parts keep two.
 */
const partsOf = (positions: number, { o, c }: Geometry): number =>
  positions % 2 === 0 && (positions >= 2048 || o * c >= 128 * 128) ? 2 : 1

/** Sums over positions of x^T dy, for each tap's dy[positions, O] and x[positions, C]: [O, C, h, w] */
const fromTaps = (
  pairs: readonly (readonly [dy: Value, x: Value])[],
  positions: number,
  g: Geometry,
  { device }: Target,
): Value => {
  const { o, c, kh, kw } = g
  const parts = partsOf(positions, g)
  const shapeOf = (channels: number): Shape => [parts, positions / parts, channels]
  const [dyShape, xShape] = [shapeOf(o), shapeOf(c)]
  const products = pairs.map(([dy, x]) =>
    reshape(product(device, [reshape(x, xShape), xShape], [reshape(dy, dyShape), dyShape], { transposeA: true }), [
      1,
      parts,
      c,
      o,
    ]),
  )
  return turnedBack(reshape(reduceSum(concat(0, products), [1], false), [kh, kw, c, o]))
}

const byShiftedInput: WeightGradient = (x, dy, g, target) => {
  const padded = pad(channelsLast(x), [0, g.top, g.left, 0], [0, g.bottom, g.right, 0])
  const rows = channelsLast(dy)
  const pairs = taps(g).map(([i, j]): readonly [Value, Value] => {
    const end = [g.n, i + (g.oh - 1) * g.sh + 1, j + (g.ow - 1) * g.sw + 1, g.c]
    return [rows, slice(padded, [0, i, j, 0], end, [1, g.sh, g.sw, 1])]
  })
  return fromTaps(pairs, g.n * g.oh * g.ow, g, target)
}

/** The same sums, walked over x's positions: cheaper where dy has fewer channels. */
const byShiftedOutput: WeightGradient = (x, dy, g, target) => {
  const [top, left, bottom, right] = fullPadding(g)
  const padded = pad(channelsLast(dy), [0, top, left, 0], [0, bottom, right, 0])
  const rows = channelsLast(x)
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
const known = new Map<string, Constant>()
/** One constant for all convolutions of a kind: a model compares constants of this size by identity. */
const rowsOf = (g: Gathered): Constant => {
  const key = [g.n, g.h, g.w, g.oh, g.ow, g.kh, g.kw, g.sh, g.sw].join()
  const rows = known.get(key) ?? constantOf('int32', [g.n * g.oh * g.ow, g.kh * g.kw], tapRows(g))
  known.set(key, rows)
  return rows
}
/** All taps of padded[n h w, b] side by side, transposed, times rows[positions, a]: [kh, kw, b, a] */
const byGathering = (
  device: Device,
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
  return reshape(summed, [g.kh, g.kw, b, a])
}

/** Small maps: one product instead of one a tap. */
const byGatheredInput: WeightGradient = (x, dy, g, { device }) => {
  const padded = pad(channelsLast(x), [0, g.top, g.left, 0], [0, g.bottom, g.right, 0])
  const sides = { h: g.h + g.top + g.bottom, w: g.w + g.left + g.right }
  return turnedBack(byGathering(device, [channelsLast(dy), g.o], [padded, g.c], { ...g, ...sides }))
}
const byGatheredOutput: WeightGradient = (x, dy, g, { device }) => {
  const [top, left, bottom, right] = fullPadding(g)
  const padded = pad(channelsLast(dy), [0, top, left, 0], [0, bottom, right, 0])
  const sides = { h: g.oh + top + bottom, w: g.ow + left + right, oh: g.h, ow: g.w }
  const taps = byGathering(device, [channelsLast(x), g.c], [padded, g.o], { ...g, ...sides })
  const turned = [g.kh, g.kw].reduce(
    (x, d, i) => call('Gather', [x, int64s(Array.from({ length: d }, (_, k) => d - 1 - k))], { axis: int(i) }),
    taps,
  )
  return transpose(turned, [2, 3, 0, 1])
}
/** Up to so many numbers gathered, one product is faster than one a tap; beyond, they leave the caches. */
const gatherable = 2_400_000
const isGatherable = (g: Geometry, { device }: Target, rows: number, channels: number): boolean =>
  device === 'cpu' && rows * g.kh * g.kw * channels <= gatherable

/**
 * Large maps, a row of taps at a time: the columns that the taps see side by side, times dy moved down by as many rows as they
 * are. Both stay channels first, and nothing is copied once for each tap.
 */
const byRows: WeightGradient = (x, dy, g, { device }) => {
  const padded = pad(x, [0, 0, g.top, g.left], [0, 0, g.bottom, g.right])
  const height = g.oh + g.kh - 1
  const seen = Array.from({ length: g.kw }, (_, j) => slice(padded, [0, 0, 0, j], [g.n, g.c, height, j + g.ow]))
  const right: Shape = [g.n, g.kw * g.c, height * g.ow]
  const left: Shape = [g.n, g.o, height * g.ow]
  const columns = reshape(concat(1, seen), right)
  const rows = Array.from({ length: g.kh }, (_, i) => {
    const moved = reshape(pad(dy, [0, 0, i, 0], [0, 0, g.kh - 1 - i, 0]), left)
    const perItem = product(device, [columns, right], [moved, left], { transposeB: true })
    return reshape(reduceSum(perItem, [0], false), [1, g.kw, g.c, g.o])
  })
  return turnedBack(concat(0, rows))
}
/** Items are what threads share out. */
const hasRows = (g: Geometry, { device }: Target): boolean =>
  device === 'cpu' && hasUnitStride(g) && g.n > 1 && g.kh * g.kw > 1

/** Few input channels: all taps of all channels side by side in one product an item. */
const byColumns: WeightGradient = (x, dy, g, { device }) => {
  const [positions, columns] = [g.oh * g.ow, g.kh * g.kw * g.c]
  const padded = pad(x, [0, 0, g.top, g.left], [0, 0, g.bottom, g.right])
  const seen = taps(g).map(([i, j]) =>
    slice(padded, [0, 0, i, j], [g.n, g.c, i + (g.oh - 1) * g.sh + 1, j + (g.ow - 1) * g.sw + 1], [1, 1, g.sh, g.sw]),
  )
  const perItem = product(
    device,
    [reshape(concat(1, seen), [g.n, columns, positions]), [g.n, columns, positions]],
    [reshape(dy, [g.n, g.o, positions]), [g.n, g.o, positions]],
    { transposeB: true },
  )
  return turnedBack(reshape(reduceSum(perItem, [0], false), [g.kh, g.kw, g.c, g.o]))
}

/** 1x1: no shifts, so both stay channels first. */
const byPositions: WeightGradient = (x, dy, g, { device }) => {
  const positions = g.h * g.w
  const perItem = product(
    device,
    [reshape(dy, [g.n, g.o, positions]), [g.n, g.o, positions]],
    [reshape(x, [g.n, g.c, positions]), [g.n, g.c, positions]],
    { transposeB: true },
  )
  return reshape(reduceSum(perItem, [0], false), [g.o, g.c, 1, 1])
}

const weightGradients: readonly Choice<WeightGradient>[] = [
  { when: (g) => isPointwise(g) && g.h * g.w > 64, lower: byPositions },
  { when: (g) => g.c <= 8, lower: byColumns },
  {
    when: (g, target) => g.c > g.o && isFlippable(g) && isGatherable(g, target, g.n * g.h * g.w, g.o),
    lower: byGatheredOutput,
  },
  { when: (g, target) => g.c <= g.o && isGatherable(g, target, g.n * g.oh * g.ow, g.c), lower: byGatheredInput },
  { when: hasRows, lower: byRows },
  { when: (g) => g.c > g.o && isFlippable(g), lower: byShiftedOutput },
  { when: (g, target) => isGatherable(g, target, g.n * g.oh * g.ow, g.c), lower: byGatheredInput },
]

/** x[n,c,h,w], dy[n,o,oh,ow] -> dw[o,c,kh,kw] */
export const weightGradient: WeightGradient = (x, dy, g, target) =>
  choose(weightGradients, byShiftedInput, g, target)(x, dy, g, target)
