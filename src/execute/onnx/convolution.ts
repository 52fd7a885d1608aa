import type { Attributes } from '../../graph/ops.ts'
import { type Shape, sameShape } from '../../graph/types.ts'
import { isLowered, type Lowered, type LoweringTable, operand, shapeOf, type Target, valueAt } from './lowering.ts'
import { product } from './products.ts'
import { call, concat, floats, ints, pad, reduceSum, reshape, slice, transpose, type Value } from './value.ts'

/** Everything that decides how a convolution is lowered: x[n,c,h,w], weight[o,c,kh,kw], y[n,o,oh,ow]. */
interface Geometry {
  readonly n: number
  readonly c: number
  readonly h: number
  readonly w: number
  readonly o: number
  readonly kh: number
  readonly kw: number
  readonly oh: number
  readonly ow: number
  readonly sh: number
  readonly sw: number
  readonly top: number
  readonly left: number
  readonly bottom: number
  readonly right: number
}
const geometry = (x: Shape, weight: Shape, y: Shape, { stride, padding }: Attributes['conv2d']): Geometry => {
  const [n = 0, c = 0, h = 0, w = 0] = x
  const [o = 0, , kh = 0, kw = 0] = weight
  const [, , oh = 0, ow = 0] = y
  const [sh = 1, sw = 1] = stride
  const [top = 0, left = 0, bottom = 0, right = 0] = padding
  return { n, c, h, w, o, kh, kw, oh, ow, sh, sw, top, left, bottom, right }
}
const isPointwise = ({ kh, kw, sh, sw, top, left, bottom, right }: Geometry): boolean =>
  [kh, kw, sh, sw].every((d) => d === 1) && [top, left, bottom, right].every((d) => d === 0)
const hasUnitStride = ({ sh, sw }: Geometry): boolean => sh === 1 && sw === 1
/** Padding that a full correlation with the flipped kernel needs; negative where the convolution padded more. */
const fullPadding = ({ kh, kw, top, left, bottom, right }: Geometry): readonly [number, number, number, number] => [
  kh - 1 - top,
  kw - 1 - left,
  kh - 1 - bottom,
  kw - 1 - right,
]
const isFlippable = (g: Geometry): boolean => hasUnitStride(g) && fullPadding(g).every((d) => d >= 0)

const convolve = (x: Value, weight: Value, { stride, padding }: Attributes['conv2d'], bias: readonly Value[]): Value =>
  call('Conv', [x, weight, ...bias], { strides: ints(stride), pads: ints(padding) })

/** conv2d(x, w) + bias reshaped to [O, 1, 1] or [1, O, 1, 1], where nothing else reads the convolution. */
export const convolveWithBias = (operands: readonly Lowered[], shape: Shape): Value | undefined => {
  const [a, b] = operands
  return a === undefined || b === undefined ? undefined : (withBias(a, b, shape) ?? withBias(b, a, shape))
}
const withBias = (conv: Lowered, bias: Lowered, shape: Shape): Value | undefined => {
  const [x, weight] = conv.operands
  if (!isLowered('conv2d')(conv) || conv.uses !== 1 || x === undefined || weight === undefined) return undefined
  const channels = shape[1] ?? 0
  const [first, ...rest] = shapeOf(bias).length === 4 ? shapeOf(bias) : [1, ...shapeOf(bias)]
  if (!sameShape(shapeOf(conv), shape) || first !== 1 || !sameShape(rest, [channels, 1, 1])) return undefined
  const source = isLowered('reshape')(bias) ? bias.operands[0] : undefined
  const vector =
    source !== undefined && sameShape(shapeOf(source), [channels]) ? source.value : reshape(bias.value, [channels])
  return convolve(x.value, weight.value, conv.node.attributes, [vector])
}

/** w[O,C,h,w] -> [C,O,h,w] turned by 180 degrees; a product with a permutation is faster than steps of -1. */
const flipped = (weight: Value, { o, c, kh, kw }: Geometry): Value => {
  const taps = kh * kw
  const turn = floats(
    [taps, taps],
    Array.from({ length: taps * taps }, (_, i) => (Math.floor(i / taps) + (i % taps) === taps - 1 ? 1 : 0)),
  )
  const turned = taps === 1 ? weight : reshape(call('MatMul', [reshape(weight, [o * c, taps]), turn]), [o, c, kh, kw])
  return transpose(turned, [1, 0, 2, 3])
}

type InputGradient = (dy: Value, weight: Value, g: Geometry) => Value
const byFlippedConvolution: InputGradient = (dy, weight, g) =>
  convolve(dy, flipped(weight, g), { stride: [1, 1], padding: fullPadding(g) }, [])
/** `output_padding` gives back the rows that a stride did not reach. */
const byTransposedConvolution: InputGradient = (dy, weight, g) =>
  call('ConvTranspose', [dy, weight], {
    strides: ints([g.sh, g.sw]),
    pads: ints([g.top, g.left, g.bottom, g.right]),
    output_padding: ints([
      g.h + g.top + g.bottom - g.kh - g.sh * (g.oh - 1),
      g.w + g.left + g.right - g.kw - g.sw * (g.ow - 1),
    ]),
  })

interface Choice<L> {
  readonly when: (g: Geometry, target: Target) => boolean
  readonly lower: L
}
const choose = <L>(choices: readonly Choice<L>[], otherwise: L, g: Geometry, target: Target): L =>
  choices.find(({ when }) => when(g, target))?.lower ?? otherwise

const inputGradients: readonly Choice<InputGradient>[] = [
  { when: (g) => !isFlippable(g), lower: byTransposedConvolution },
  { when: (g) => !isPointwise(g) && (g.c <= 16 || g.h * g.w <= 64), lower: byTransposedConvolution },
]

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

type Convolution = Pick<LoweringTable, 'conv2d' | 'convInputGrad' | 'convWeightGrad'>
export const convolutionLowerings: Convolution = {
  conv2d: (site) => convolve(valueAt(site, 0), valueAt(site, 1), site.node.attributes, []),
  convInputGrad: (site) => {
    const { type, attributes } = site.node
    const [dy, weight] = [operand(site, 0), operand(site, 1)]
    const g = geometry(type.shape, shapeOf(weight), shapeOf(dy), attributes)
    return choose(inputGradients, byFlippedConvolution, g, site.target)(dy.value, weight.value, g)
  },
  convWeightGrad: (site) => {
    const { type, attributes } = site.node
    const [x, dy] = [operand(site, 0), operand(site, 1)]
    const g = geometry(shapeOf(x), type.shape, shapeOf(dy), attributes)
    return choose(weightGradients, byShiftedInput, g, site.target)(x.value, dy.value, g, site.target)
  },
}
