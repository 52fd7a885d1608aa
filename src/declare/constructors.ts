import type { Initializer, Meaning, OpOf } from '../graph/ops.ts'
import { type DType, float, int, type Shape, type TensorType } from '../graph/types.ts'
import { declared } from './shared.ts'
import { apply, at, type Scope, type Tensor } from './tensor.ts'

/** One constructor for each primitive. Binary ops are data-last, so that they read in a `pipe`. */

export const input = (name: string, type: TensorType, meaning: Meaning | null = null): Tensor =>
  apply('input', { name, type, meaning }, [])
/** A trainable array of the model; its full name is its key in the reference's `state_dict`. */
export const parameter = (scope: Scope, name: string, shape: Shape, init: Initializer): Tensor =>
  declared(apply('parameter', { name: at(scope, name), shape, init, trainable: true }, [], scope))
/** An array of the model that no optimiser touches. */
export const buffer = (scope: Scope, name: string, shape: Shape, init: Initializer): Tensor =>
  declared(apply('parameter', { name: at(scope, name), shape, init, trainable: false }, [], scope))
/** Random numbers; axis 0 counts samples, each filled from its own key. */
export const noise = (name: string, shape: Shape, distribution: 'normal' | 'uniform' = 'normal'): Tensor =>
  apply('noise', { name, shape, distribution }, [])
/** An array of numbers that a graph holds: of the type's size, or one number for all. They must be finite. */
export const constant = (data: readonly number[], type: TensorType): Tensor => apply('constant', { type, data }, [])
/** A number as a constant float32[]. */
export const scalar = (value: number): Tensor => constant([value], float())
/** Numbers as a constant float32[n]. */
export const vector = (data: readonly number[]): Tensor => constant(data, float(data.length))
/** Whole numbers as a constant int32[n]. */
export const integers = (data: readonly number[]): Tensor => constant(data, int(data.length))

/** A tensor, or a number that stands for a scalar of the other operand's dtype. */
export type Operand = Tensor | number
const lift = (x: Operand, like: Tensor): Tensor =>
  typeof x === 'number' ? constant([x], { dtype: like.type.dtype, shape: [] }) : x

type UnaryKind = OpOf<'unary'> | 'stopGradient' | 'recompute'
const unary =
  (op: UnaryKind) =>
  (x: Tensor): Tensor =>
    apply(op, {}, [x])
/** -x, elementwise. */
export const neg = unary('neg')
/** The magnitude, elementwise; its slope at 0 is 0. */
export const abs = unary('abs')
/** -1, 0 or 1, elementwise; no gradient flows. */
export const sign = unary('sign')
/** e to x, elementwise. */
export const exp = unary('exp')
/** The natural logarithm, elementwise. */
export const log = unary('log')
/** The square root, elementwise. */
export const sqrt = unary('sqrt')
/** The hyperbolic tangent, elementwise. */
export const tanh = unary('tanh')
/** 1 / (1 + e^-x), elementwise. */
export const sigmoid = unary('sigmoid')
/** The error function, elementwise. */
export const erf = unary('erf')
/** The sine of radians, elementwise. */
export const sin = unary('sin')
/** The cosine of radians, elementwise. */
export const cos = unary('cos')
/** The largest integer not above x, elementwise; no gradient flows. */
export const floor = unary('floor')
/** x sigmoid(x), elementwise. */
export const silu = unary('silu')
/** The identity, through which no gradient flows. */
export const stopGradient = unary('stopGradient')
/** The identity; where it is cheap, its operand is computed anew here rather than kept since its first use. */
export const recompute = unary('recompute')
/** x, not before `until` is computed (XLA's `optimization_barrier`): what is made of it is neither moved before that nor shared. */
export const barrier =
  (until: Tensor) =>
  (x: Tensor): Tensor =>
    apply('barrier', {}, [x, until])
/** x in another element type; to int32 truncated towards 0. */
export const cast =
  (to: DType) =>
  (x: Tensor): Tensor =>
    x.type.dtype === to ? x : apply('cast', { to }, [x])
/** Says what the values mean from here on. */
export const claims =
  (meaning: Meaning) =>
  (x: Tensor): Tensor =>
    apply('mark', { claims: meaning, expects: null }, [x])
/** Says what the values must mean here; `lint` reports a claim that differs. */
export const expects =
  (meaning: Meaning) =>
  (x: Tensor): Tensor =>
    apply('mark', { claims: null, expects: meaning }, [x])

type BinaryKind = 'add' | 'sub' | 'mul' | 'div' | 'maximum' | 'minimum' | 'equal' | 'less'
/** `binary(op)(b)(a)` is `a op b`. */
const binary =
  (op: BinaryKind) =>
  (b: Operand) =>
  (a: Tensor): Tensor =>
    apply(op, {}, [a, lift(b, a)])
/** a + b, broadcast: `pipe(a, add(b))`. */
export const add = binary('add')
/** a - b, broadcast: `pipe(a, sub(b))`. */
export const sub = binary('sub')
/** a b, elementwise, broadcast: `pipe(a, mul(b))`. */
export const mul = binary('mul')
/** a / b, broadcast: `pipe(a, div(b))`. */
export const div = binary('div')
/** The larger of a and b, broadcast; of equals the gradient goes to b. */
export const maximum = binary('maximum')
/** The lesser of a and b, broadcast; of equals the gradient goes to b. */
export const minimum = binary('minimum')
/** a == b, as bool */
export const equal = binary('equal')
/** a < b, as bool */
export const less = binary('less')
/** condition ? whenTrue : whenFalse, elementwise */
export const select =
  (whenTrue: Tensor, whenFalse: Operand) =>
  (condition: Tensor): Tensor =>
    apply('select', {}, [condition, whenTrue, lift(whenFalse, whenTrue)])

/** Axes may be counted from the end, as -1. */
export const axis = (x: Tensor, a: number): number => (a < 0 ? a + x.shape.length : a)
const axesOf = (x: Tensor, axes: readonly number[] | undefined): readonly number[] =>
  axes === undefined ? x.shape.map((_, i) => i) : axes.map((a) => axis(x, a)).toSorted((p, q) => p - q)
/** What a reduction goes over. */
export interface Reduction {
  /** All axes where left out. */
  readonly axes?: readonly number[]
  readonly keepDims?: boolean
}
/** The sum over axes; over all where they are left out. */
export const sum =
  ({ axes, keepDims = false }: Reduction = {}) =>
  (x: Tensor): Tensor =>
    apply('sum', { axes: axesOf(x, axes), keepDims }, [x])
/** The largest element over axes; equals share the gradient. */
export const reduceMax =
  ({ axes, keepDims = false }: Reduction = {}) =>
  (x: Tensor): Tensor =>
    apply('reduceMax', { axes: axesOf(x, axes), keepDims }, [x])
/** The index of the largest element along an axis, int32, the axis gone; the first of equals. No gradient flows. */
export const argMax =
  (a: number) =>
  (x: Tensor): Tensor =>
    apply('argMax', { axis: axis(x, a) }, [x])
/** The index of the least element along an axis, int32, the axis gone; the first of equals. No gradient flows. */
export const argMin =
  (a: number) =>
  (x: Tensor): Tensor =>
    apply('argMin', { axis: axis(x, a) }, [x])
/** e^x over its sum along an axis. */
export const softmax =
  (a: number) =>
  (x: Tensor): Tensor =>
    apply('softmax', { axis: axis(x, a) }, [x])

/** Operands of a product that are taken with their last two axes swapped. */
export interface Transposed {
  readonly transposeA?: boolean
  readonly transposeB?: boolean
}
/** `matmul(b)(a)` is a b, over the last two axes. */
export const matmul =
  (b: Tensor, { transposeA = false, transposeB = false }: Transposed = {}) =>
  (a: Tensor): Tensor =>
    apply('matmul', { transposeA, transposeB }, [a, b])

/** How a window goes over the last two axes. */
export interface Window {
  readonly stride: readonly [number, number]
  /** top, left, bottom, right */
  readonly padding: readonly [number, number, number, number]
}
/** x[N, C, H, W] with weight[O, C, kh, kw] (cross-correlation, as in PyTorch): [N, O, H', W']. */
export const conv2d =
  (weight: Tensor, { stride, padding }: Window) =>
  (x: Tensor): Tensor =>
    apply('conv2d', { stride, padding }, [x, weight])
/** The gradient of `conv2d` with respect to x, whose H and W `size` says: a transposed convolution of dy[N, O, H', W']. */
export const convInputGrad =
  (weight: Tensor, size: Shape, { stride, padding }: Window) =>
  (dy: Tensor): Tensor =>
    apply('convInputGrad', { stride, padding, size }, [dy, weight])
/** The gradient of `conv2d` with respect to its weight, whose kh and kw `kernel` says. */
export const convWeightGrad =
  (x: Tensor, kernel: Shape, { stride, padding }: Window) =>
  (dy: Tensor): Tensor =>
    apply('convWeightGrad', { stride, padding, kernel }, [x, dy])

/** The same elements in the same order under another shape of the same size. */
export const reshape =
  (...shape: Shape) =>
  (x: Tensor): Tensor =>
    apply('reshape', { shape }, [x])
/** The axes of x in another order: axis i of the result is axis permutation[i] of x. */
export const transpose =
  (...permutation: readonly number[]) =>
  (x: Tensor): Tensor =>
    apply('transpose', { permutation }, [x])
/** The box of x that begins at `start` and has this size. */
export const slice =
  (start: Shape, size: Shape) =>
  (x: Tensor): Tensor =>
    apply('slice', { start, size }, [x])
/** x with zeros around it: so many before and behind along each axis. */
export const pad =
  (low: Shape, high: Shape) =>
  (x: Tensor): Tensor =>
    apply('pad', { low, high }, [x])
/** Tensors one behind the other along an axis; their other axes are alike. */
export const concat = (a: number, ...xs: readonly Tensor[]): Tensor => {
  const first = xs[0]
  return apply('concat', { axis: first === undefined ? a : axis(first, a) }, xs)
}
/** x repeated to a shape, by the rules of broadcasting: axes are aligned at their ends. */
export const broadcast =
  (...shape: Shape) =>
  (x: Tensor): Tensor =>
    apply('broadcast', { shape }, [x])
/** Rows of a table: `gather(indices)(table)`. */
export const gather =
  (indices: Tensor) =>
  (table: Tensor): Tensor =>
    apply('gather', {}, [table, indices])
/** Rows of zeros to which rows of `updates` are added at `indices`; what comes to the same row is summed. */
export const scatterAdd =
  (indices: Tensor, rows: number) =>
  (updates: Tensor): Tensor =>
    apply('scatterAdd', { rows }, [indices, updates])
/** x[N, C, H, W] with each pixel repeated so many times downwards and to the right. */
export const upsampleNearest =
  (...factor: readonly [number, number]) =>
  (x: Tensor): Tensor =>
    apply('upsampleNearest', { factor }, [x])
/** The greatest of each window; windows do not overlap and must fill x. */
export const maxPool =
  (...factor: readonly [number, number]) =>
  (x: Tensor): Tensor =>
    apply('maxPool', { factor }, [x])

/** Groups of channels, and what is added to their variance before its root. */
export interface Grouping {
  readonly groups: number
  readonly eps: number
}
/**
 * x[N, C, ...] with each group of channels of an item brought to mean 0 and variance 1, then weighed and shifted by channel (Wu and He
 * 2018).
 */
export const groupNorm =
  (weight: Tensor, bias: Tensor, { groups, eps }: Grouping) =>
  (x: Tensor): Tensor =>
    apply('groupNorm', { groups, eps }, [x, weight, bias])
/** `groupNorm` without weight and bias. */
export const standardize =
  ({ groups, eps }: Grouping) =>
  (x: Tensor): Tensor =>
    apply('standardize', { groups, eps }, [x])
/** 1 / sqrt(variance + eps) of each group of channels of an item. */
export const groupRstd =
  ({ groups, eps }: Grouping) =>
  (x: Tensor): Tensor =>
    apply('groupRstd', { groups, eps }, [x])
