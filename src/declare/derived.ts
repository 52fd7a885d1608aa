import { type Shape, size } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import {
  add,
  axis,
  broadcast,
  cast,
  concat,
  constant,
  div,
  equal,
  erf,
  exp,
  integers,
  less,
  log,
  maximum,
  mul,
  neg,
  type Operand,
  type Reduction,
  reduceMax,
  reshape,
  scalar,
  select,
  slice,
  sub,
  sum,
} from './constructors.ts'
import type { Tensor } from './tensor.ts'

/** What follows from the primitives. */

export const square = (x: Tensor): Tensor => pipe(x, mul(x))
/** 1 / x, elementwise. */
export const reciprocal = (x: Tensor): Tensor => pipe(scalar(1), div(x))
/** max(x, 0), elementwise; its slope at 0 is 0. */
export const relu = (x: Tensor): Tensor => pipe(x, maximum(0))
/** x < 0 ? slope x : x, with its slope as an array of its own, which every walk back shares. */
export const leakyRelu =
  (slope: number) =>
  (x: Tensor): Tensor =>
    pipe(x, mul(pipe(x, less(0), select(scalar(slope), scalar(1)))))
/** Exact GELU: x/2 (1 + erf(x / sqrt 2)) */
export const gelu = (x: Tensor): Tensor => pipe(x, mul(Math.SQRT1_2), erf, add(1), mul(pipe(x, mul(0.5))))
/** Between the bounds; the gradient is 1 on the bounds and 0 outside, as in PyTorch. */
export const clamp =
  (low: number, high: number) =>
  (x: Tensor): Tensor =>
    pipe(x, less(low), select(scalar(low), pipe(scalar(high), less(x), select(scalar(high), x))))
/** a > b, as bool */
export const greater =
  (b: Operand) =>
  (a: Tensor): Tensor =>
    pipe(typeof b === 'number' ? constant([b], { dtype: a.type.dtype, shape: [] }) : b, less(a))
/** log(1 + e^x), without overflow. At 0 `maximum` has slope 0, and so the other term has to be on its rising side there. */
export const softplus = (x: Tensor): Tensor =>
  pipe(x, maximum(0), add(pipe(x, greater(0), select(neg(x), x), exp, add(1), log)))
/** A bool as 0 or 1. */
export const indicator = cast('float32')

const count = (x: Tensor, { axes }: Reduction): number =>
  axes === undefined ? size(x.shape) : axes.reduce((n, a) => n * (x.shape[axis(x, a)] ?? 1), 1)
/** The mean over axes; over all where they are left out. */
export const mean =
  (r: Reduction = {}) =>
  (x: Tensor): Tensor =>
    pipe(x, sum(r), mul(1 / count(x, r)))
/** Euclidean norm of all elements. */
export const squaredNorm = (x: Tensor): Tensor => pipe(x, square, sum())
/** The sum of tensors, broadcast; 0 of none. */
export const sumAll = (...xs: readonly Tensor[]): Tensor =>
  xs.length === 0 ? scalar(0) : xs.reduce((a, b) => pipe(a, add(b)))
/** log(softmax(x)) along an axis, without overflow. */
export const logSoftmax =
  (a: number) =>
  (x: Tensor): Tensor => {
    const shifted = pipe(x, sub(pipe(x, reduceMax({ axes: [a], keepDims: true }))))
    return pipe(shifted, sub(pipe(shifted, exp, sum({ axes: [a], keepDims: true }), log)))
  }

/** Inserts axes of length 1 before the given positions of the result. */
export const unsqueeze =
  (...axes: readonly number[]) =>
  (x: Tensor): Tensor => {
    const rank = x.shape.length + axes.length
    const own = x.shape.values()
    return pipe(x, reshape(...Array.from({ length: rank }, (_, i) => (axes.includes(i) ? 1 : (own.next().value ?? 1)))))
  }
/** A per-item value [N] beside x[N, ...]: reshaped to [N, 1, ...]. */
export const perItem =
  (x: Tensor) =>
  (v: Tensor): Tensor =>
    pipe(v, reshape(v.shape[0] ?? 1, ...x.shape.slice(1).map(() => 1)))
/** Zeros of a tensor's shape. */
export const zerosLike = (x: Tensor): Tensor => pipe(scalar(0), broadcast(...x.shape))
/** Equal parts along an axis. */
export const split =
  (parts: number, a: number) =>
  (x: Tensor): readonly Tensor[] => {
    const along = axis(x, a)
    const extent = (x.shape[along] ?? 0) / parts
    return Array.from({ length: parts }, (_, p) => part(x, along, p * extent, extent))
  }
/** `length` entries of an axis, from `start`. */
export const part = (x: Tensor, a: number, start: number, length: number): Tensor => {
  const along = axis(x, a)
  const pick = (whole: Shape, own: number, other: (d: number) => number): Shape =>
    whole.map((d, i) => (i === along ? own : other(d)))
  return pipe(
    x,
    slice(
      pick(x.shape, start, () => 0),
      pick(x.shape, length, (d) => d),
    ),
  )
}
/** int32[...i] -> float32[...i, classes] */
export const oneHot =
  (classes: number) =>
  (indices: Tensor): Tensor =>
    pipe(
      indices,
      reshape(...indices.shape, 1),
      equal(integers(Array.from({ length: classes }, (_, i) => i))),
      indicator,
    )
/** Tensors of one shape beside each other along a new axis. */
export const stack = (a: number, ...xs: readonly Tensor[]): Tensor => concat(a, ...xs.map(unsqueeze(a)))
/** Number of channels of x[N, C, ...]. */
export const channels = (x: Tensor): number => x.shape[1] ?? 0
