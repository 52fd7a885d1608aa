import { type Choice, choose, fullPadding, type Geometry, isFlippable, isPointwise } from './geometry.ts'
import type { Target } from './lowering.ts'
import { product } from './products.ts'
import { concat, pad, reduceSum, reshape, slice, transpose, type Value } from './value.ts'

type WeightGradient = (x: Value, dy: Value, g: Geometry, target: Target) => Value

const taps = ({ kh, kw }: Geometry): readonly (readonly [number, number])[] =>
  Array.from({ length: kh * kw }, (_, t) => [Math.floor(t / kw), t % kw] as const)
const channelsLast = (x: Value): Value => transpose(x, [0, 2, 3, 1])

/** One product of dy and x, both [positions, channels], for each tap: [taps O, C] -> [O, C, h, w] */
const fromTaps = (products: readonly Value[], { o, c, kh, kw }: Geometry): Value =>
  kh * kw === 1
    ? reshape(concat(0, products), [o, c, kh, kw])
    : reshape(transpose(reshape(concat(0, products), [kh * kw, o, c]), [1, 2, 0]), [o, c, kh, kw])

const byShiftedInput: WeightGradient = (x, dy, g, { device }) => {
  const positions = g.n * g.oh * g.ow
  const padded = pad(channelsLast(x), [0, g.top, g.left, 0], [0, g.bottom, g.right, 0])
  const rows = reshape(channelsLast(dy), [positions, g.o])
  const products = taps(g).map(([i, j]) => {
    const end = [g.n, i + (g.oh - 1) * g.sh + 1, j + (g.ow - 1) * g.sw + 1, g.c]
    const seen = reshape(slice(padded, [0, i, j, 0], end, [1, g.sh, g.sw, 1]), [positions, g.c])
    return product(device, [rows, [positions, g.o]], [seen, [positions, g.c]], { transposeA: true })
  })
  return fromTaps(products, g)
}

/** The same sums, walked over x's positions: cheaper where dy has fewer channels. */
const byShiftedOutput: WeightGradient = (x, dy, g, { device }) => {
  const positions = g.n * g.h * g.w
  const [top, left, bottom, right] = fullPadding(g)
  const padded = pad(channelsLast(dy), [0, top, left, 0], [0, bottom, right, 0])
  const rows = reshape(channelsLast(x), [positions, g.c])
  const products = taps(g).map(([i, j]) => {
    const [si, sj] = [g.kh - 1 - i, g.kw - 1 - j]
    const seen = reshape(slice(padded, [0, si, sj, 0], [g.n, si + g.h, sj + g.w, g.o]), [positions, g.o])
    return product(device, [seen, [positions, g.o]], [rows, [positions, g.c]], { transposeA: true })
  })
  return fromTaps(products, g)
}

/** Few input channels: all taps of all channels side by side in one product an item. */
const byColumns: WeightGradient = (x, dy, g, { device }) => {
  const [positions, columns] = [g.oh * g.ow, g.kh * g.kw * g.c]
  const padded = pad(x, [0, 0, g.top, g.left], [0, 0, g.bottom, g.right])
  const seen = taps(g).map(([i, j]) =>
    slice(padded, [0, 0, i, j], [g.n, g.c, i + (g.oh - 1) * g.sh + 1, j + (g.ow - 1) * g.sw + 1], [1, 1, g.sh, g.sw]),
  )
  const perItem = product(
    device,
    [reshape(dy, [g.n, g.o, positions]), [g.n, g.o, positions]],
    [reshape(concat(1, seen), [g.n, columns, positions]), [g.n, columns, positions]],
    { transposeB: true },
  )
  const summed = reshape(reduceSum(perItem, [0], false), [g.o, g.kh * g.kw, g.c])
  return reshape(transpose(summed, [0, 2, 1]), [g.o, g.c, g.kh, g.kw])
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
  { when: (g) => g.c > g.o && isFlippable(g), lower: byShiftedOutput },
]

/** x[n,c,h,w], dy[n,o,oh,ow] -> dw[o,c,kh,kw] */
export const weightGradient: WeightGradient = (x, dy, g, target) =>
  choose(weightGradients, byShiftedInput, g, target)(x, dy, g, target)
