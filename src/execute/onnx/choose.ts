import type { OpOf } from '../../graph/ops.ts'
import { size } from '../../graph/types.ts'
import { type Geometry, geometry } from '../geometry.ts'
import { resultSide, tileCount, tilePlaces } from '../tiles.ts'
import { type Algorithms, type Call, isCall, operand, plainest, rewriteCalls, shapeOf } from './calls.ts'
import { kernels } from './devices.ts'
import type { Target } from './target.ts'
import { hasUnitStride, isPointwise, isReversible } from './windows.ts'

/** Which of the ways to compute the same is expected to be the fastest: the first that fits, by `costs`. */
interface Way<A> {
  readonly algorithm: A
  readonly fits: (g: Geometry, target: Target, weight: Call) => boolean
}
export const geometryOf = (c: Call<OpOf<'convolution'>>): Geometry => {
  const [a, b] = [shapeOf(operand(c, 0)), shapeOf(operand(c, 1))]
  const y = shapeOf(c)
  if (isCall('conv2d')(c)) return geometry(a, b, y, c.attributes)
  return isCall('convInputGrad')(c) ? geometry(y, b, a, c.attributes) : geometry(a, y, b, c.attributes)
}

/** Numbers known beforehand are laid out for nothing. */
const isKnown = (weight: Call): boolean => weight.op === 'baked' || weight.op === 'constant'
/** Weights that lie as products leave their gradients, [h, w, C, O]. */
const liesAsMade = (weight: Call): boolean =>
  isCall('transpose')(weight) && weight.attributes.permutation.join() === '3,2,0,1'

const isTiled = (g: Geometry, { block }: Target): boolean =>
  block !== null && g.kh === 3 && g.kw === 3 && hasUnitStride(g) && g.oh % resultSide === 0 && g.ow % resultSide === 0
/** The numbers of all tiles, which go through memory several times. */
const tileNumbers = (g: Geometry): number => tilePlaces * tileCount(g) * Math.max(g.c, g.o)
/** Products large enough to save more than transforms cost. */
const isWorthTiles = (g: Geometry, target: Target, weight: Call): boolean => {
  const { tiled } = target.costs
  return (
    isTiled(g, target) &&
    Math.min(g.c, g.o) >= tiled.narrow &&
    Math.max(g.c, g.o) >= tiled.wide &&
    tileCount(g) >= tiled.fewestTiles &&
    tileNumbers(g) <= tiled.written &&
    (isKnown(weight) || liesAsMade(weight))
  )
}
/** Laying weights out, where they are not known, costs as much as is gained on some positions. */
const hasBlocks = ({ n, c, o, kh, kw, oh, ow }: Geometry, { block, costs }: Target, weight: Call): boolean =>
  block !== null &&
  kh * kw > 1 &&
  c % block === 0 &&
  o % block === 0 &&
  (n * oh * ow >= costs.blockedPositions || isKnown(weight))
/** Where the runtime computes a product of matrices, as the kernel has one tap or is as large as the picture, and forgets the padding. */
const forgetsPadding = ({ kh, kw, h, w, top, left, bottom, right }: Geometry, { device }: Target): boolean =>
  (kh * kw === 1 || (kh === h && kw === w)) && top + left === 0 && bottom + right > 0 && !kernels[device].padsProducts

const convolutions: readonly Way<Algorithms['conv2d']>[] = [
  { algorithm: 'widened', fits: forgetsPadding },
  { algorithm: 'minimal', fits: isWorthTiles },
  { algorithm: 'blocked', fits: hasBlocks },
]
const inputGradients: readonly Way<Algorithms['convInputGrad']>[] = [
  { algorithm: 'transposed', fits: (g) => !isReversible(g) },
  /** The gradient of what is reversible is a convolution back. */
  { algorithm: 'minimal', fits: (g, ...of) => isWorthTiles({ ...g, oh: g.h, ow: g.w }, ...of) },
  { algorithm: 'blocked', fits: hasBlocks },
  {
    algorithm: 'transposed',
    fits: (g, { costs: { transposed } }) =>
      !isPointwise(g) &&
      (g.c <= transposed.channels || (g.h * g.w <= transposed.positions && g.o > transposed.channels)),
  },
]

/** Up to some numbers gathered, one product is faster than one a tap; beyond, they leave the caches. */
const isGatherable = (g: Geometry, { device, costs }: Target, rows: number, channels: number): boolean =>
  device === 'cpu' && rows * g.kh * g.kw * channels <= costs.gathered
const gathersInput = (g: Geometry, target: Target): boolean => isGatherable(g, target, g.n * g.oh * g.ow, g.c)
/** Sums over x's positions: cheaper where dy has fewer channels. */
const isOverInput = (g: Geometry): boolean => g.c > g.o && isReversible(g)
const weightGradients: readonly Way<Algorithms['convWeightGrad']>[] = [
  { algorithm: 'positions', fits: (g, { costs }) => isPointwise(g) && g.h * g.w > costs.pointwisePositions },
  { algorithm: 'columns of x', fits: (g, { costs }) => g.c <= costs.fewChannels },
  { algorithm: 'columns of dy', fits: (g, { costs }) => g.o <= costs.fewChannels && isReversible(g) },
  {
    algorithm: 'minimal',
    /** Transforms cost as much as x has channels, and save as much as dy has for each of these; large maps leave the caches. */
    fits: (g, target) => {
      const { narrow, ratio, written } = target.costs.tiledGradient
      return (
        isTiled(g, target) &&
        Math.min(g.c, g.o) >= narrow &&
        tileCount(g) * g.c <= ratio * g.o ** 2 &&
        tileNumbers(g) <= written
      )
    },
  },
  {
    algorithm: 'gathered dy',
    fits: (g, target) => isOverInput(g) && isGatherable(g, target, g.n * g.h * g.w, g.o),
  },
  { algorithm: 'gathered x', fits: (g, target) => g.c <= g.o && gathersInput(g, target) },
  /** Items are what threads share out. */
  {
    algorithm: 'rows',
    fits: (g, { device }) => device === 'cpu' && hasUnitStride(g) && g.n > 1 && g.kh * g.kw > 1,
  },
  { algorithm: 'shifted dy', fits: isOverInput },
  { algorithm: 'gathered x', fits: gathersInput },
]
const choice = <A>(ways: readonly Way<A>[], otherwise: A, of: readonly [Geometry, Target, Call]): A =>
  ways.find(({ fits }) => fits(...of))?.algorithm ?? otherwise

/** Where scores are so many that they are had a block at a time. */
const isStreamed = (c: Call<'attention'>, { mode, device, costs }: Target): boolean => {
  const [q, k] = [shapeOf(operand(c, 0)), shapeOf(operand(c, 1))]
  const { transposeA, transposeB } = c.attributes.scores
  const [queries, keys] = [q.at(transposeA ? -1 : -2) ?? 1, k.at(transposeB ? -2 : -1) ?? 1]
  return mode === 'sampling' && kernels[device].flashAttention && size(q.slice(0, -2)) * queries * keys >= costs.scores
}

/** Chooses an algorithm for every call that has several. */
export const choose = (target: Target) =>
  rewriteCalls(() => (c) => {
    if (isCall('conv2d')(c)) {
      const ways = c.type.dtype === 'float32' ? convolutions : convolutions.filter((w) => w.algorithm === 'widened')
      return { ...c, algorithm: choice(ways, plainest.conv2d, [geometryOf(c), target, operand(c, 1)]) }
    }
    if (isCall('convInputGrad')(c))
      return { ...c, algorithm: choice(inputGradients, plainest.convInputGrad, [geometryOf(c), target, operand(c, 1)]) }
    if (isCall('convWeightGrad')(c))
      return {
        ...c,
        algorithm: choice(weightGradients, plainest.convWeightGrad, [geometryOf(c), target, operand(c, 1)]),
      }
    return isCall('attention')(c) ? { ...c, algorithm: isStreamed(c, target) ? 'streamed' : plainest.attention } : c
  })
