import {
  add,
  at,
  buffer,
  channels,
  conv2d as convolve,
  gather,
  less,
  matmul,
  maxPool,
  mean,
  mul,
  noise,
  groupNorm as normalize,
  parameter,
  reshape,
  type Scope,
  select,
  shared,
  slice,
  type Tensor,
  unsqueeze,
  upsampleNearest,
} from '../declare/index.ts'
import type { Initializer } from '../graph/ops.ts'
import { size } from '../graph/types.ts'
import { pipe } from '../prelude.ts'

/**
 * Layers as PyTorch names, shapes and initialises them. A layer is `(scope, options) => (x) => y`: the scope gives
 * its parameters their names, x the sizes that the options leave open.
 *
 *     pipe(x, groupNorm('norm1'), silu, conv2d('conv1', { out: 64, kernel: 3, padding: 1 }))
 */
export type Layer = (x: Tensor) => Tensor
/** A layer that still awaits its place among the parameter names. */
export type Module = (scope: Scope) => Layer

/** Layers one behind the other. */
export const chain =
  (layers: readonly Layer[]): Layer =>
  (x) =>
    layers.reduce((h, layer) => layer(h), x)
/** PyTorch's `nn.Sequential`: every module stands under its index. */
export const sequential =
  (...modules: readonly Module[]): Module =>
  (s) =>
    shared(chain(modules.map((module, i) => module(at(s, i)))))

/** A parameter that begins as zeros. */
export const zeros: Initializer = { kind: 'zeros' }
/** A parameter that begins as ones. */
export const ones: Initializer = { kind: 'ones' }
/** PyTorch's default for weights and biases, Kaiming's uniform with a = sqrt 5: U(-1/sqrt(fanIn), 1/sqrt(fanIn)). */
export const kaimingUniform = (fanIn: number): Initializer => ({ kind: 'uniform', bound: 1 / Math.sqrt(fanIn) })

interface Weighted {
  /** Channels of the result. */
  readonly out: number
  readonly bias?: boolean
  /** Of weight and bias; PyTorch's default where left out. */
  readonly init?: Initializer
  /** Of the bias, where it starts otherwise than the weight. */
  readonly biasInit?: Initializer
}
/** Options of `conv2d`. */
export interface Convolution extends Weighted {
  readonly kernel: number
  readonly stride?: number
  /** On all sides, or at the top, left, bottom and right. */
  readonly padding?: number | readonly [number, number, number, number]
  /** False for weights that no optimiser touches. */
  readonly trainable?: boolean
}
const allSides = (p: number) => [p, p, p, p] as const

/** x[N, C, H, W] -> [N, out, H', W'] */
export const conv2d = (
  s: Scope,
  { out, kernel, stride = 1, padding = 0, bias = true, init, biasInit, trainable = true }: Convolution,
): Layer =>
  shared((x) => {
    const shape = [out, channels(x), kernel, kernel]
    const start = init ?? kaimingUniform(size(shape.slice(1)))
    const edges = typeof padding === 'number' ? allSides(padding) : padding
    const leaf = trainable ? parameter : buffer
    const y = pipe(x, convolve(leaf(s, 'weight', shape, start), { stride: [stride, stride], padding: edges }))
    return bias ? pipe(y, add(pipe(leaf(s, 'bias', [out], biasInit ?? start), unsqueeze(1, 2)))) : y
  })

/** Kernel 1 over x[N, C, T], or over a map x[N, C, H, W]; the weight is [out, C, 1]. */
export const conv1d = (s: Scope, { out, bias = true, init, biasInit }: Weighted): Layer =>
  shared((x) => {
    const [n = 0, c = 0, ...positions] = x.shape
    const start = init ?? kaimingUniform(c)
    const weight = pipe(parameter(s, 'weight', [out, c, 1], start), reshape(out, c, 1, 1))
    const map = positions.length === 2 ? x : pipe(x, reshape(n, c, 1, ...positions))
    const y = pipe(map, convolve(weight, { stride: [1, 1], padding: allSides(0) }))
    const shifted = bias ? pipe(y, add(pipe(parameter(s, 'bias', [out], biasInit ?? start), unsqueeze(1, 2)))) : y
    return positions.length === 2 ? shifted : pipe(shifted, reshape(n, out, ...positions))
  })

/** Applies a layer for [rows, D] along the last axis of any x. */
const alongLast =
  (layer: (d: number) => Layer): Layer =>
  (x) => {
    const d = x.shape.at(-1) ?? 0
    const rows = x.shape.slice(0, -1)
    const y = pipe(x, reshape(size(rows), d), layer(d))
    return pipe(y, reshape(...rows, y.shape[1] ?? 0))
  }

/** x[..., D] -> [..., out]: x W^T + b */
export const linear = (s: Scope, { out, bias = true, init, biasInit }: Weighted): Layer =>
  shared(
    alongLast((d) => (x) => {
      const start = init ?? kaimingUniform(d)
      const y = pipe(x, matmul(parameter(s, 'weight', [out, d], start), { transposeB: true }))
      return bias ? pipe(y, add(parameter(s, 'bias', [out], biasInit ?? start))) : y
    }),
  )

/** Of a group normalisation, wherever the references do not say otherwise. */
export const defaultGroups = 32

/** Options of `groupNorm`; 32 groups and 1e-5 where left out. */
export interface GroupNorm {
  readonly groups?: number
  readonly eps?: number
}
/** x[N, C, ...], normalised over each group of channels, then scaled and shifted by channel. */
export const groupNorm = (s: Scope, { groups = defaultGroups, eps = 1e-5 }: GroupNorm = {}): Layer =>
  shared((x) =>
    pipe(
      x,
      normalize(parameter(s, 'weight', [channels(x)], ones), parameter(s, 'bias', [channels(x)], zeros), {
        groups,
        eps,
      }),
    ),
  )

/** x[..., D], normalised along D. */
export const layerNorm = (s: Scope, { eps = 1e-5 }: { readonly eps?: number } = {}): Layer =>
  shared(alongLast(() => groupNorm(s, { groups: 1, eps })))

/** How many entries a table has, and how wide they are. */
export interface Embedding {
  readonly entries: number
  readonly dim: number
  readonly init?: Initializer
}
/** int32[...i] -> [...i, dim], rows of a learnt table that starts as N(0, 1). */
export const embedding = (s: Scope, { entries, dim, init = { kind: 'normal', std: 1 } }: Embedding): Layer =>
  shared((indices) => pipe(parameter(s, 'weight', [entries, dim], init), gather(indices)))

/** Whether a network is being trained: dropout is at work then, and asks for its noise. */
export interface Mode {
  readonly training?: boolean
}
/** Zeroes elements with probability `rate` and scales the others by 1 / (1 - rate); draws noise named after its scope. */
export const dropout =
  (s: Scope, rate: number): Layer =>
  (x) =>
    rate === 0
      ? x
      : pipe(noise(at(s, 'noise'), x.shape, 'uniform'), less(1 - rate), select(pipe(x, mul(1 / (1 - rate))), 0))

/** Every pixel becomes 2x2. */
export const upsample2: Layer = upsampleNearest(2, 2)
const halves = (x: Tensor) => {
  const [n = 0, c = 0, height = 0, width = 0] = x.shape
  const [h, w] = [Math.floor(height / 2), Math.floor(width / 2)]
  return { n, c, h, w, even: pipe(x, slice([0, 0, 0, 0], [n, c, 2 * h, 2 * w])) }
}
/** Means of 2x2 windows; an odd last row or column is left out. */
export const averagePool2: Layer = (x) => {
  const { n, c, h, w, even } = halves(x)
  return pipe(even, reshape(n, c, h, 2, w, 2), mean({ axes: [3, 5] }))
}
/**
 * Maxima of 2x2 windows, an odd last row or column left out. Equal maxima share the gradient; PyTorch gives it to the first, which
 * is the same behind a ReLU where they are 0.
 */
export const maxPool2: Layer = (x) => pipe(halves(x).even, maxPool(2, 2))
