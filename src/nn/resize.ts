import { at, constant, matmul, type Scope, type Tensor } from '../declare/index.ts'
import { float } from '../graph/types.ts'
import { flow, identity, pipe } from '../prelude.ts'
import { type Decoded, flag, integer, nullable, number, record, withDefault, word } from '../schema.ts'
import { width } from './bounds.ts'
import { chain, conv2d, type Layer } from './layers.ts'

/** The weights [to, from] of one axis, rows in a row; `ratio` is the distance of new centres in old pixels. */
type Weights = (from: number, to: number, ratio: number) => readonly number[]

const rows = (from: number, to: number, weight: (i: number, j: number) => number): readonly number[] =>
  Array.from({ length: to * from }, (_, at) => weight(Math.floor(at / from), at % from))

const centre = (i: number, ratio: number): number => (i + 0.5) * ratio - 0.5

/** Between the two nearest centres: `F.interpolate(mode='bilinear', align_corners=False)`. */
const bilinear: Weights = (from, to, ratio) =>
  rows(from, to, (i, j) => {
    const at = Math.min(from - 1, Math.max(0, centre(i, ratio)))
    return Math.max(0, 1 - Math.abs(at - j))
  })
/** Keys' cubic with a = -0.75, as PyTorch has it; the border's pixels go on outside. */
const cubic = (distance: number): number => {
  const [a, x] = [-0.75, Math.abs(distance)]
  return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0
}
const bicubic: Weights = (from, to, ratio) =>
  rows(from, to, (i, j) => {
    const at = centre(i, ratio)
    const first = Math.floor(at) - 1
    return [0, 1, 2, 3].reduce((sum, tap) => {
      const pixel = Math.min(from - 1, Math.max(0, first + tap))
      return pixel === j ? sum + cubic(at - (first + tap)) : sum
    }, 0)
  })
const nearest: Weights = (from, to, ratio) =>
  rows(from, to, (i, j) => (Math.min(from - 1, Math.floor(i * ratio)) === j ? 1 : 0))
/** By how much of each old pixel a new one covers. */
const area: Weights = (from, to) =>
  rows(from, to, (i, j) => {
    const [low, high] = [(i * from) / to, ((i + 1) * from) / to]
    return (Math.max(0, Math.min(high, j + 1) - Math.max(low, j)) * to) / from
  })
/** The mean of all old pixels that a new one touches: `F.interpolate(mode='area')`. */
const touched: Weights = (from, to) =>
  rows(from, to, (i, j) => {
    const [low, high] = [Math.floor((i * from) / to), Math.ceil(((i + 1) * from) / to)]
    return j >= low && j < high ? 1 / (high - low) : 0
  })
const ways = { nearest, bilinear, bicubic, area, touched }
/** How a picture is resized, by name. */
export type ResizeWay = keyof typeof ways

/** x[N, C, H, W] -> [N, C, height, width], each axis by a product with a matrix of weights. */
export const resize =
  (way: ResizeWay, height: number, width: number): Layer =>
  (x: Tensor) => {
    const [, , h = 0, w = 0] = x.shape
    const matrix = (from: number, to: number): Tensor => constant(ways[way](from, to, from / to), float(to, from))
    const down = height === h ? x : pipe(matrix(h, height), matmul(x))
    return width === w ? down : pipe(down, matmul(matrix(w, width), { transposeB: true }))
  }

/** Sides become floor(factor * side); new centres lie 1 / factor apart whatever is cut off (`F.interpolate(scale_factor=...)`). */
export const rescale =
  (way: ResizeWay, factor: number): Layer =>
  (x) => {
    const [, , h = 0, w = 0] = x.shape
    const matrix = (from: number): Tensor => {
      const to = Math.floor(from * factor)
      return constant(ways[way](from, to, 1 / factor), float(to, from))
    }
    return factor === 1 ? x : pipe(matrix(h), matmul(x), matmul(matrix(w), { transposeB: true }))
  }

/** The reference's words for ways to resize; two more of them are for other ranks. */
const methods = { nearest: 'nearest', bilinear: 'bilinear', bicubic: 'bicubic', area: 'touched' } as const
/** Ways of `spatialRescaler`, by PyTorch's names. */
export const rescaleMethods = ['nearest', 'bilinear', 'bicubic', 'area'] as const

/** The codec of `spatialRescaler`. */
export const spatialRescalerConfig = record(
  {},
  {
    /** How many times the picture is made smaller. */
    stages: withDefault(integer({ min: 1, max: 10 }), 1),
    method: withDefault(word(rescaleMethods), 'bilinear'),
    factor: withDefault(number({ above: 0, max: 16 }), 0.5),
    /** Channels of the result, by a 1x1 convolution; those of the picture where null. */
    outChannels: withDefault(nullable(width), null),
    bias: withDefault(flag, false),
  },
)
/** `spatialRescalerConfig`, decoded. */
export type SpatialRescalerConfig = Decoded<typeof spatialRescalerConfig>

/** A picture made smaller, as a condition for the U-Net. Source: `SpatialRescaler` of ldm/modules/encoders/modules.py. */
export const spatialRescaler = (s: Scope, c: SpatialRescalerConfig): Layer =>
  flow(
    chain(Array.from({ length: c.stages }, () => rescale(methods[c.method], c.factor))),
    c.outChannels === null
      ? identity
      : conv2d(at(s, 'channel_mapper'), { out: c.outChannels, kernel: 1, bias: c.bias }),
  )
