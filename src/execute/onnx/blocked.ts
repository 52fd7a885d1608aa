import { fullPadding, type Geometry } from './geometry.ts'
import type { Target } from './lowering.ts'
import { type Attributes, call, constantOf, int, ints, reshape, transpose, type Value } from './value.ts'

/**
 * Convolutions in blocks of channels, [N, C/b, H, W, b]: the layout of ONNX Runtime's fastest kernels on x86 and arm64.
 * b depends on the processor; weights are [O/b, C/b, h, w, b of C, b of O].
 */
const blocked = (op: string, inputs: readonly Value[], attributes: Attributes): Value =>
  call(op, inputs, attributes, 'com.microsoft.nchwc')
const toBlocks = (x: Value): Value => blocked('ReorderInput', [x], {})
const fromBlocks = (x: Value, channels: number): Value => blocked('ReorderOutput', [x], { channels: int(channels) })

/** Reordering the weights costs as much as is gained on about this many positions. */
const fewestPositions = 128
export const blocksFit = ({ n, c, o, kh, kw, oh, ow }: Geometry, { block }: Target): boolean =>
  block !== null && kh * kw > 1 && c % block === 0 && o % block === 0 && n * oh * ow >= fewestPositions

const blockOf = ({ block }: Target): number => {
  if (block === null) throw new Error('this processor has no blocked convolutions')
  return block
}
/** Reordering as if weights were pictures keeps runs of b numbers together, so that the transposition copies runs. */
const blockedWeight = (weight: Value, { o, c, kh, kw }: Geometry, b: number): Value => {
  const inner = reshape(toBlocks(reshape(weight, [o / b, b, c, kh * kw])), [o / b, c / b, b, kh * kw, b])
  return reshape(transpose(inner, [0, 1, 3, 2, 4]), [o, c, kh, kw])
}
/** The blocked form of w[C,O,h,w] turned by 180 degrees. */
const blockedFlippedWeight = (weight: Value, { o, c, kh, kw }: Geometry, b: number): Value => {
  const taps = kh * kw
  const inner = reshape(toBlocks(reshape(weight, [o, c, 1, taps])), [(o * c) / b, taps, b])
  const turn = constantOf(
    'int32',
    [taps],
    Int32Array.from({ length: taps }, (_, t) => taps - 1 - t),
  )
  const turned = reshape(call('Gather', [inner, turn], { axis: int(1) }), [o / b, b, c / b, taps, b])
  return reshape(transpose(turned, [2, 0, 3, 1, 4]), [c, o, kh, kw])
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
  return fromBlocks(blocked('Conv', inputs, window), g.o)
}
export const blockedInputGradient = (dy: Value, weight: Value, g: Geometry, target: Target): Value => {
  const window = { strides: ints([1, 1]), pads: ints(fullPadding(g)) }
  const inputs = [toBlocks(dy), blockedFlippedWeight(weight, g, blockOf(target))]
  return fromBlocks(blocked('Conv', inputs, window), g.c)
}
