import {
  add,
  at,
  buffer,
  div,
  equal,
  mean,
  mul,
  reciprocal,
  type Scope,
  scalar,
  select,
  shared,
  sqrt,
  square,
  sub,
  sum,
  sumAll,
  type Tensor,
} from '../declare/index.ts'
import type { Initializer } from '../graph/ops.ts'
import { flow, pipe, RA } from '../prelude.ts'
import { conv2d, type Layer } from './layers.ts'
import { vgg16 } from './vgg.ts'

/** |x| along the channels, [N, 1, ...]; its slope at 0 is 0, where the root's own is infinite. */
const channelNorm: Layer = (x) => {
  const squared = pipe(x, square, sum({ axes: [1], keepDims: true }))
  const zero = pipe(squared, equal(0))
  return pipe(zero, select(scalar(0), pipe(zero, select(scalar(1), squared), sqrt)))
}
/** x / (|x| + 1e-10) along the channels. */
export const unitNormalize: Layer = (x) => pipe(x, mul(pipe(x, channelNorm, add(1e-10), reciprocal)))

const perColour = (data: readonly number[]): Initializer => ({ kind: 'values', data })
/** From [-1, 1] to the colours VGG16 was trained on; both arrays are the reference's buffers. */
export const scalingLayer = (s: Scope): Layer =>
  flow(
    sub(buffer(s, 'shift', [1, 3, 1, 1], perColour([-0.03, -0.088, -0.188]))),
    div(buffer(s, 'scale', [1, 3, 1, 1], perColour([0.458, 0.448, 0.45]))),
  )

/** Of two layers' activations [N, C, h, w]: squared differences where both have unit length, weighed to one channel, their mean [N, 1, 1, 1]. */
export const featureDistance =
  (weigh: Layer) =>
  (b: Tensor) =>
  (a: Tensor): Tensor =>
    pipe(unitNormalize(a), sub(unitNormalize(b)), square, weigh, mean({ axes: [2, 3], keepDims: true }))

/** A learned weight of each channel. */
const weigh = (s: Scope, layer: number): Layer =>
  conv2d(at(s, `lin${layer}.model.1`), {
    out: 1,
    kernel: 1,
    bias: false,
    init: { kind: 'loaded' },
    trainable: false,
  })

/** How channels are weighed: as learned, or all alike, which is the `baseline` (`lpips=False`) of richzhang/PerceptualSimilarity. */
export const perceptualHeads = ['learned', 'even'] as const
const heads: { readonly [H in (typeof perceptualHeads)[number]]: typeof weigh } = {
  learned: weigh,
  even: () => sum({ axes: [1], keepDims: true }),
}

/** Those of the reference. */
export const lpipsDefaults = { pixels: '[-1, 1]', heads: 'learned' } as const
/** Options of `lpips`. */
export interface Lpips {
  /** Default `learned`; with `even` the weights of VGG16 are all there are. */
  readonly heads?: (typeof perceptualHeads)[number]
  /** What the pictures' values lie in; default [-1, 1]. */
  readonly pixels?: '[-1, 1]' | '[0, 1]'
}
/** How far two pictures are apart, in all and by layer. */
export interface PerceptualDistance {
  /** The sum over the layers, [N, 1, 1, 1]. */
  readonly total: Tensor
  /** Of each of VGG16's five slices. */
  readonly layers: readonly Tensor[]
}

/**
 * The learned perceptual distance of pictures x and y, [N, 3, H, W] (Zhang et al. 2018, equation 1): at each slice of VGG16 the
 * squared difference of the unit-normalised activations, weighed by channel and averaged over positions. All weights are frozen
 * and read from files; dropout is off, as in evaluation. Source: `LPIPS` of taming/modules/losses/lpips.py and of
 * richzhang/PerceptualSimilarity, version 0.1.
 */
export const lpips = (s: Scope, { pixels = lpipsDefaults.pixels, heads: kind = lpipsDefaults.heads }: Lpips = {}) =>
  shared((x: Tensor, y: Tensor): PerceptualDistance => {
    const features = flow(
      pixels === '[0, 1]' ? flow(mul(2), sub(1)) : (p: Tensor) => p,
      scalingLayer(at(s, 'scaling_layer')),
      vgg16(at(s, 'net')),
    )
    const layers = RA.zip(features(x), features(y)).map(([a, b], i) => pipe(a, featureDistance(heads[kind](s, i))(b)))
    return { total: sumAll(...layers), layers }
  })
