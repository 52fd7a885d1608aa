import type { Geometry } from '../geometry.ts'
import { blocked, blockedFlippedWeight, blockedWeight, nchwc } from './blocked-weight.ts'
import { carriedFrom } from './carried-layout.ts'
import { fullPadding } from './geometry.ts'
import type { Target } from './lowering.ts'
import { int, ints, result, text, type Value } from './value.ts'

/**
 * Convolutions in blocks of channels, [N, C/b, H, W, b]: the layout of ONNX Runtime's fastest kernels on x86 and arm64.
 * b depends on the processor.
 */
const toBlocks = (x: Value): Value => blocksOf(x)?.value ?? blocked('ReorderInput', [x])
const fromBlocks = (x: Value, { n, o, oh, ow }: Pick<Geometry, 'n' | 'o' | 'oh' | 'ow'>): Value => {
  const attributes = { channels: int(o) }
  return result({ op: 'ReorderOutput', domain: nchwc, attributes, inputs: [x], shape: [n, o, oh, ow] }, 0)
}
/** An array in blocks, where it was made in blocks. */
const blocksOf = carriedFrom(({ op, inputs: [first], shape }) =>
  op === 'ReorderOutput' && first && shape ? { value: first, shape } : undefined,
)
/** A blocked convolution with ReLU behind it; the convolution must have no other reader. */
export const rectified = (x: Value): Value | undefined => {
  if (x.kind !== 'result' || x.call.op !== 'ReorderOutput') return undefined
  const [conv] = x.call.inputs
  if (conv?.kind !== 'result' || conv.call.op !== 'Conv') return undefined
  const attributes = { ...conv.call.attributes, activation: text('Relu') }
  return { ...x, call: { ...x.call, inputs: [{ ...conv, call: { ...conv.call, attributes } }] } }
}

/** Reordering the weights, where they are not constant, costs as much as is gained on some positions. */
export const blocksFit = ({ n, c, o, kh, kw, oh, ow }: Geometry, { block, costs }: Target, weight?: Value): boolean =>
  block !== null &&
  kh * kw > 1 &&
  c % block === 0 &&
  o % block === 0 &&
  (n * oh * ow >= costs.blockedPositions || weight?.kind === 'constant')

const blockOf = ({ block }: Target): number => {
  if (block === null) throw new Error('this processor has no blocked convolutions')
  return block
}
export const blockedConvolution = (
  x: Value,
  weight: Value,
  bias: readonly Value[],
  g: Geometry,
  target: Target,
): Value => {
  const window = { strides: ints([g.sh, g.sw]), pads: ints([g.top, g.left, g.bottom, g.right]) }
  const inputs = [toBlocks(x), blockedWeight(weight, g, blockOf(target)), ...bias]
  return fromBlocks(blocked('Conv', inputs, window), g)
}
export const blockedInputGradient = (dy: Value, weight: Value, g: Geometry, target: Target): Value => {
  const window = { strides: ints([1, 1]), pads: ints(fullPadding(g)) }
  const inputs = [toBlocks(dy), blockedFlippedWeight(weight, g, blockOf(target))]
  return fromBlocks(blocked('Conv', inputs, window), { n: g.n, o: g.c, oh: g.h, ow: g.w })
}
