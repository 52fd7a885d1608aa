import type { Initializer, Meaning } from '../graph/ops.ts'
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
export const constant = (data: readonly number[], type: TensorType): Tensor => apply('constant', { type, data }, [])
export const scalar = (value: number): Tensor => constant([value], float())
export const vector = (data: readonly number[]): Tensor => constant(data, float(data.length))
export const integers = (data: readonly number[]): Tensor => constant(data, int(data.length))

/** A tensor, or a number that stands for a scalar of the other operand's dtype. */
export type Operand = Tensor | number
const lift = (x: Operand, like: Tensor): Tensor =>
  typeof x === 'number' ? constant([x], { dtype: like.type.dtype, shape: [] }) : x

type UnaryKind =
  | 'neg'
  | 'abs'
  | 'sign'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'tanh'
  | 'sigmoid'
  | 'erf'
  | 'sin'
  | 'cos'
  | 'floor'
  | 'silu'
  | 'stopGradient'
  | 'recompute'
const unary =
  (op: UnaryKind) =>
  (x: Tensor): Tensor =>
    apply(op, {}, [x])
export const neg = unary('neg')
export const abs = unary('abs')
export const sign = unary('sign')
export const exp = unary('exp')
export const log = unary('log')
export const sqrt = unary('sqrt')
export const tanh = unary('tanh')
export const sigmoid = unary('sigmoid')
export const erf = unary('erf')
export const sin = unary('sin')
export const cos = unary('cos')
export const floor = unary('floor')
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
export const add = binary('add')
export const sub = binary('sub')
export const mul = binary('mul')
export const div = binary('div')
export const maximum = binary('maximum')
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
export interface Reduction {
  /** All axes where left out. */
  readonly axes?: readonly number[]
  readonly keepDims?: boolean
}
export const sum =
  ({ axes, keepDims = false }: Reduction = {}) =>
  (x: Tensor): Tensor =>
    apply('sum', { axes: axesOf(x, axes), keepDims }, [x])
export const reduceMax =
  ({ axes, keepDims = false }: Reduction = {}) =>
  (x: Tensor): Tensor =>
    apply('reduceMax', { axes: axesOf(x, axes), keepDims }, [x])
export const argMax =
  (a: number) =>
  (x: Tensor): Tensor =>
    apply('argMax', { axis: axis(x, a) }, [x])
export const argMin =
  (a: number) =>
  (x: Tensor): Tensor =>
    apply('argMin', { axis: axis(x, a) }, [x])
export const softmax =
  (a: number) =>
  (x: Tensor): Tensor =>
    apply('softmax', { axis: axis(x, a) }, [x])

export interface Transposed {
  readonly transposeA?: boolean
  readonly transposeB?: boolean
}
/** `matmul(b)(a)` is a b, over the last two axes. */
export const matmul =
  (b: Tensor, { transposeA = false, transposeB = false }: Transposed = {}) =>
  (a: Tensor): Tensor =>
    apply('matmul', { transposeA, transposeB }, [a, b])

export interface Window {
  readonly stride: readonly [number, number]
  /** top, left, bottom, right */
  readonly padding: readonly [number, number, number, number]
}
export const conv2d =
  (weight: Tensor, { stride, padding }: Window) =>
  (x: Tensor): Tensor =>
    apply('conv2d', { stride, padding }, [x, weight])
export const convInputGrad =
  (weight: Tensor, size: Shape, { stride, padding }: Window) =>
  (dy: Tensor): Tensor =>
    apply('convInputGrad', { stride, padding, size }, [dy, weight])
export const convWeightGrad =
  (x: Tensor, kernel: Shape, { stride, padding }: Window) =>
  (dy: Tensor): Tensor =>
    apply('convWeightGrad', { stride, padding, kernel }, [x, dy])

export const reshape =
  (...shape: Shape) =>
  (x: Tensor): Tensor =>
    apply('reshape', { shape }, [x])
export const transpose =
  (...permutation: readonly number[]) =>
  (x: Tensor): Tensor =>
    apply('transpose', { permutation }, [x])
export const slice =
  (start: Shape, size: Shape) =>
  (x: Tensor): Tensor =>
    apply('slice', { start, size }, [x])
export const pad =
  (low: Shape, high: Shape) =>
  (x: Tensor): Tensor =>
    apply('pad', { low, high }, [x])
export const concat = (a: number, ...xs: readonly Tensor[]): Tensor => {
  const first = xs[0]
  return apply('concat', { axis: first === undefined ? a : axis(first, a) }, xs)
}
export const broadcast =
  (...shape: Shape) =>
  (x: Tensor): Tensor =>
    apply('broadcast', { shape }, [x])
/** Rows of a table: `gather(indices)(table)`. */
export const gather =
  (indices: Tensor) =>
  (table: Tensor): Tensor =>
    apply('gather', {}, [table, indices])
export const scatterAdd =
  (indices: Tensor, rows: number) =>
  (updates: Tensor): Tensor =>
    apply('scatterAdd', { rows }, [indices, updates])
export const upsampleNearest =
  (...factor: readonly [number, number]) =>
  (x: Tensor): Tensor =>
    apply('upsampleNearest', { factor }, [x])
/** The greatest of each window; windows do not overlap and must fill x. */
export const maxPool =
  (...factor: readonly [number, number]) =>
  (x: Tensor): Tensor =>
    apply('maxPool', { factor }, [x])

export interface Grouping {
  readonly groups: number
  readonly eps: number
}
export const groupNorm =
  (weight: Tensor, bias: Tensor, { groups, eps }: Grouping) =>
  (x: Tensor): Tensor =>
    apply('groupNorm', { groups, eps }, [x, weight, bias])
export const standardize =
  ({ groups, eps }: Grouping) =>
  (x: Tensor): Tensor =>
    apply('standardize', { groups, eps }, [x])
export const groupRstd =
  ({ groups, eps }: Grouping) =>
  (x: Tensor): Tensor =>
    apply('groupRstd', { groups, eps }, [x])
