import {
  abs,
  add,
  at,
  broadcast,
  buffer,
  channels,
  div,
  log,
  mean,
  mul,
  parameter,
  reshape,
  type Scope,
  scalar,
  shared,
  sqrt,
  square,
  stopGradient,
  sub,
  sum,
  type Tensor,
} from '../declare/index.ts'
import type { Initializer } from '../graph/ops.ts'
import { type Shape, size } from '../graph/types.ts'
import { flow, pipe } from '../prelude.ts'
import { type Layer, type Mode, ones, zeros } from './layers.ts'
import { straightThrough } from './straight-through.ts'

/**
 * Arrays that a pass through a network may replace, by their full names: running statistics, counts, flags. What a pass is not
 * given is a leaf of that name; what it gives is the next pass' or, as outputs of a step, the next step's.
 */
export type Buffers = Readonly<Record<string, Tensor>>

/** What a pass gives: its result, and every array it holds, replaced or not. */
export interface Passed {
  readonly y: Tensor
  readonly buffers: Buffers
}
/** A layer with state. */
export type StatefulLayer = (x: Passed) => Passed

/** A layer without state among those with it. */
export const stateless =
  (layer: Layer): StatefulLayer =>
  ({ y, buffers }) => ({ y: layer(y), buffers })

const held = (buffers: Buffers, s: Scope, name: string, shape: Shape, start: Initializer): Tensor =>
  buffers[at(s, name)] ?? buffer(s, name, shape, start)
const replaced = (buffers: Buffers, s: Scope, changed: Readonly<Record<string, Tensor>>): Buffers => ({
  ...buffers,
  ...Object.fromEntries(Object.entries(changed).map(([name, x]) => [at(s, name), x])),
})

/** Every axis but the channels'. */
const overChannel = (x: Tensor): readonly number[] => x.shape.map((_, i) => i).filter((i) => i !== 1)
/** A value of each channel beside x[N, C, ...]. */
const perChannel =
  (x: Tensor) =>
  (v: Tensor): Tensor =>
    pipe(v, reshape(1, channels(x), ...x.shape.slice(2).map(() => 1)))
/** Mean and biased variance of each channel, [C], and the number of elements of each. */
const moments = (x: Tensor): { readonly mean: Tensor; readonly variance: Tensor; readonly count: number } => {
  const axes = overChannel(x)
  const average = pipe(x, mean({ axes }))
  const variance = pipe(x, sub(pipe(average, perChannel(x))), square, mean({ axes }))
  return { mean: average, variance, count: size(x.shape) / channels(x) }
}

/** Options of `batchNorm`. */
export interface BatchNorm extends Mode {
  readonly eps?: number
  /** The share of a new batch in the running statistics. */
  readonly momentum?: number
  /** Of the scale; ones where left out. */
  readonly init?: Initializer
}
/**
 * x[N, C, ...] normalised in each channel, then scaled and shifted: by the batch's own mean and biased variance while training,
 * which also move the running statistics (the variance unbiased, as in PyTorch's `BatchNorm2d`); by these in evaluation.
 */
export const batchNorm = (
  s: Scope,
  { training = false, eps = 1e-5, momentum = 0.1, init = ones }: BatchNorm = {},
): StatefulLayer =>
  shared(({ y: x, buffers }) => {
    const shape = [channels(x)]
    const [weight, bias] = [parameter(s, 'weight', shape, init), parameter(s, 'bias', shape, zeros)]
    const running = {
      mean: held(buffers, s, 'running_mean', shape, zeros),
      variance: held(buffers, s, 'running_var', shape, ones),
    }
    const seen = held(buffers, s, 'num_batches_tracked', [], zeros)
    const batch = moments(x)
    const by = training ? batch : running
    const moved = (old: Tensor, now: Tensor): Tensor =>
      training ? pipe(old, mul(1 - momentum), add(pipe(now, stopGradient, mul(momentum)))) : old
    const scale = pipe(weight, div(pipe(by.variance, add(eps), sqrt)))
    return {
      y: pipe(x, sub(pipe(by.mean, perChannel(x))), mul(pipe(scale, perChannel(x))), add(pipe(bias, perChannel(x)))),
      buffers: replaced(buffers, s, {
        running_mean: moved(running.mean, batch.mean),
        running_var: moved(running.variance, pipe(batch.variance, mul(batch.count / (batch.count - 1)))),
        num_batches_tracked: training ? pipe(seen, add(1)) : seen,
      }),
    }
  })

/** scale (x + loc), each [1, C, 1, 1]: ActNorm of Glow (Kingma and Dhariwal 2018, section 3.1). */
export interface ChannelAffine {
  readonly loc: Tensor
  readonly scale: Tensor
}
/** (x + loc) scale, by channel. */
export const applyAffine =
  ({ loc, scale }: ChannelAffine): Layer =>
  (x) =>
    pipe(x, add(pipe(loc, perChannel(x))), mul(pipe(scale, perChannel(x))))
/** y / scale - loc, by channel: undoes `applyAffine`. */
export const invertAffine =
  ({ loc, scale }: ChannelAffine): Layer =>
  (y) =>
    pipe(y, div(pipe(scale, perChannel(y))), sub(pipe(loc, perChannel(y))))
/** log |det| of the Jacobian at each item of x[N, C, ...], [N]: positions times sum_c log |scale_c|. */
export const affineLogDeterminant =
  ({ scale }: ChannelAffine): Layer =>
  (x) =>
    pipe(scale, abs, log, sum(), mul(size(x.shape.slice(2))), broadcast(x.shape[0] ?? 0))

/**
 * The affine map after which each channel of x has mean 0 and deviation 1 (unbiased, 1e-6 added to it). No gradient flows
 * to x.
 */
export const affineOf = (x: Tensor): ChannelAffine => {
  const { mean: average, variance, count } = moments(x)
  const deviation = pipe(variance, mul(count / (count - 1)), sqrt)
  const laid = flow(stopGradient, reshape(1, channels(x), 1, 1))
  return { loc: pipe(average, mul(-1), laid), scale: pipe(scalar(1), div(pipe(deviation, add(1e-6))), laid) }
}

/** Options of `actNorm`. */
export interface ActNorm {
  /** The batch sets `loc` and `scale`: of the first training step. */
  readonly initialize?: boolean
}
/**
 * ActNorm under the reference's names, the identity at first. Its start from data is a step of its own: the first pass with `initialize`
 * computes as though the leaves `loc` and `scale` held what `affineOf` finds, and gives these and the flag `initialized` among
 * the buffers, for the leaves of the next step. Source: `ActNorm` of taming/modules/util.py.
 */
export const actNorm = (s: Scope, { initialize = false }: ActNorm = {}): StatefulLayer =>
  shared(({ y: x, buffers }) => {
    const shape = [1, channels(x), 1, 1]
    const leaves = { loc: parameter(s, 'loc', shape, zeros), scale: parameter(s, 'scale', shape, ones) }
    const start = affineOf(x)
    const [loc, scale] = [buffers[at(s, 'loc')], buffers[at(s, 'scale')]]
    const own: ChannelAffine =
      initialize && loc === undefined
        ? { loc: pipe(leaves.loc, straightThrough(start.loc)), scale: pipe(leaves.scale, straightThrough(start.scale)) }
        : { loc: loc ?? leaves.loc, scale: scale ?? leaves.scale }
    const initialized = initialize ? scalar(1) : held(buffers, s, 'initialized', [], zeros)
    return { y: pipe(x, applyAffine(own)), buffers: replaced(buffers, s, { initialized, ...own }) }
  })
