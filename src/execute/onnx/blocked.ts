import type { Geometry } from '../geometry.ts'
import { blocked, blockedFlippedWeight, blockedWeight } from './blocked-weight.ts'
import { fullPadding } from './geometry.ts'
import type { Target } from './lowering.ts'
import { int, ints, type Value } from './value.ts'

/**
 * Convolutions in blocks of channels, [N, C/b, H, W, b]: the layout of ONNX Runtime's fastest kernels on x86 and arm64.
 * b depends on the processor.
 */
const toBlocks = (x: Value): Value => blocked('ReorderInput', [x])
const fromBlocks = (x: Value, channels: number): Value => blocked('ReorderOutput', [x], { channels: int(channels) })

/** Reordering the weights costs as much as is gained on about this many positions. */
const fewestPositions = 128
export const blocksFit = ({ n, c, o, kh, kw, oh, ow }: Geometry, { block }: Target): boolean =>
  block !== null && kh * kw > 1 && c % block === 0 && o % block === 0 && n * oh * ow >= fewestPositions

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
  return fromBlocks(blocked('Conv', inputs, window), g.o)
}
export const blockedInputGradient = (dy: Value, weight: Value, g: Geometry, target: Target): Value => {
  const window = { strides: ints([1, 1]), pads: ints(fullPadding(g)) }
  const inputs = [toBlocks(dy), blockedFlippedWeight(weight, g, blockOf(target))]
  return fromBlocks(blocked('Conv', inputs, window), g.c)
}
