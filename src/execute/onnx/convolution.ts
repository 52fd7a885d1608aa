import { type DType, type Shape, sameShape } from '../../graph/types.ts'
import { type Geometry, geometry } from '../geometry.ts'
import { blockedConvolution, blockedInputGradient, blocksFit } from './blocked.ts'
import { plainWeight } from './blocked-weight.ts'
import { kernels } from './devices.ts'
import { type Choice, choose, fullPadding, isFlippable, isPointwise } from './geometry.ts'
import { isLowered, type Lowered, type LoweringTable, operand, type Site, shapeOf, type Target } from './lowering.ts'
import { call, concat, filledWith, floats, ints, reshape, transpose, type Value } from './value.ts'
import { weightGradient } from './weight-gradient.ts'
import { winogradConvolution, winogradFits, winogradFitsBack, winogradInputGradient } from './winograd.ts'

type Forward = (x: Value, weight: Value, bias: readonly Value[], g: Geometry, target: Target) => Value
const plainly: Forward = (x, weight, bias, g) =>
  call('Conv', [x, weight, ...bias], {
    strides: ints([g.sh, g.sw]),
    pads: ints([g.top, g.left, g.bottom, g.right]),
  })
const convolutions: readonly Choice<Forward>[] = [
  { when: winogradFits, lower: winogradConvolution },
  { when: blocksFit, lower: blockedConvolution },
]
/** Where a convolution is a product of matrices: the kernel has one tap, or is as large as the picture. */
const forgetsPadding = ({ kh, kw, h, w, top, left, bottom, right }: Geometry, { device }: Target): boolean =>
  (kh * kw === 1 || (kh === h && kw === w)) && top + left === 0 && bottom + right > 0 && !kernels[device].padsProducts
/** Not by `Pad`, which the runtime would put back into `Conv`. */
const widened = (x: Value, { n, c, h, w, bottom, right }: Geometry, dtype: DType): Value => {
  const taller = bottom === 0 ? x : concat(2, [x, filledWith(dtype, [n, c, bottom, w], 0)])
  return right === 0 ? taller : concat(3, [taller, filledWith(dtype, [n, c, h + bottom, right], 0)])
}
const convolve = (
  [x, weight]: readonly [Lowered, Lowered],
  bias: readonly Value[],
  { node, target }: Pick<Site<'conv2d'>, 'node' | 'target'>,
): Value => {
  const { shape, dtype } = node.type
  const g = geometry(shapeOf(x), shapeOf(weight), shape, node.attributes)
  if (forgetsPadding(g, target)) {
    const whole = { ...g, h: g.h + g.bottom, w: g.w + g.right, bottom: 0, right: 0 }
    return plainly(widened(x.value, g, dtype), weight.value, bias, whole, target)
  }
  const choices = dtype === 'float32' ? convolutions : []
  return choose(choices, plainly, g, target, weight.value)(x.value, weight.value, bias, g, target)
}

/** conv2d(x, w) + bias reshaped to [O, 1, 1] or [1, O, 1, 1], where nothing else reads the convolution. */
export const convolveWithBias = ({ node, operands, target }: Site<'add'>): Value | undefined => {
  const [a, b] = operands
  const fused = (conv: Lowered, bias: Lowered) => withBias(conv, bias, node.type.shape, target)
  return a === undefined || b === undefined ? undefined : (fused(a, b) ?? fused(b, a))
}
const withBias = (conv: Lowered, bias: Lowered, shape: Shape, target: Target): Value | undefined => {
  const [x, weight] = conv.operands
  if (!isLowered('conv2d')(conv) || conv.uses !== 1 || x === undefined || weight === undefined) return undefined
  const channels = shape[1] ?? 0
  const [first, ...rest] = shapeOf(bias).length === 4 ? shapeOf(bias) : [1, ...shapeOf(bias)]
  if (!sameShape(shapeOf(conv), shape) || first !== 1 || !sameShape(rest, [channels, 1, 1])) return undefined
  const source = isLowered('reshape')(bias) ? bias.operands[0] : undefined
  const vector =
    source !== undefined && sameShape(shapeOf(source), [channels]) ? source.value : reshape(bias.value, [channels])
  return convolve([x, weight], [vector], { node: conv.node, target })
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

type InputGradient = (dy: Value, weight: Value, g: Geometry, target: Target) => Value
const byFlippedConvolution: InputGradient = (dy, weight, g) =>
  call('Conv', [dy, flipped(weight, g)], { strides: ints([1, 1]), pads: ints(fullPadding(g)) })
/** `output_padding` gives back the rows that a stride did not reach. */
const byTransposedConvolution: InputGradient = (dy, weight, g, { block }) =>
  call('ConvTranspose', [dy, plainWeight(weight, g, block)], {
    strides: ints([g.sh, g.sw]),
    pads: ints([g.top, g.left, g.bottom, g.right]),
    output_padding: ints([
      g.h + g.top + g.bottom - g.kh - g.sh * (g.oh - 1),
      g.w + g.left + g.right - g.kw - g.sw * (g.ow - 1),
    ]),
  })

const inputGradients: readonly Choice<InputGradient>[] = [
  { when: (g) => !isFlippable(g), lower: byTransposedConvolution },
  { when: winogradFitsBack, lower: winogradInputGradient },
  { when: blocksFit, lower: blockedInputGradient },
  {
    when: (g, { costs: { transposed } }) =>
      !isPointwise(g) &&
      (g.c <= transposed.channels || (g.h * g.w <= transposed.positions && g.o > transposed.channels)),
    lower: byTransposedConvolution,
  },
]

type Convolution = Pick<LoweringTable, 'conv2d' | 'convInputGrad' | 'convWeightGrad'>
export const convolutionLowerings: Convolution = {
  conv2d: (site) => convolve([operand(site, 0), operand(site, 1)], [], site),
  convInputGrad: (site) => {
    const { type, attributes } = site.node
    const [dy, weight] = [operand(site, 0), operand(site, 1)]
    const g = geometry(type.shape, shapeOf(weight), shapeOf(dy), attributes)
    return choose(
      inputGradients,
      byFlippedConvolution,
      g,
      site.target,
      weight.value,
    )(dy.value, weight.value, g, site.target)
  },
  convWeightGrad: (site) => {
    const { type, attributes } = site.node
    const [x, dy] = [operand(site, 0), operand(site, 1)]
    const g = geometry(shapeOf(x), type.shape, shapeOf(dy), attributes)
    return weightGradient(x.value, dy.value, g, site.target)
  },
}
