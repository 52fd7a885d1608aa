import { roundings } from '../../graph/half.ts'
import { type DType, type Half, isHalf, type Shape, sameShape, size, type TensorType } from '../../graph/types.ts'
import { isIdentity, permuted } from '../layout.ts'
import type { Attributes, Kernel } from './kernel.ts'

/**
 * A TensorFlow.js computation as an immutable expression. Lowerings build these; `schedule` numbers what the outputs
 * reach, equal calls once, so that lowerings share work by writing the same thing.
 */
export type Value = Leaf | Constant | Call

/** Something fed. */
export interface Leaf {
  readonly kind: 'leaf'
  readonly name: string
  readonly type: TensorType
}
export type Data = Float32Array | Int32Array | Uint8Array
export interface Constant {
  readonly kind: 'constant'
  readonly type: TensorType
  readonly data: Data
}
/** One kernel. */
export interface Call {
  readonly kind: 'call'
  readonly kernel: Kernel
  readonly inputs: readonly Value[]
  readonly attributes: Attributes
  readonly type: TensorType
  /** Computed in float32, between casts, as the backend does not compute it in this. */
  readonly insteadOf?: Half
}

/** What outputs are, by name. */
export type Roots = Readonly<Record<string, Value>>
/** What to write instead of a call; the call itself where it is right. */
export type Rewriting = (of: Call) => Value

export const leaf = (name: string, type: TensorType): Leaf => ({ kind: 'leaf', name, type })
export const call = (
  kernel: Kernel,
  inputs: readonly Value[],
  type: TensorType,
  attributes: Attributes = {},
): Value => ({ kind: 'call', kernel, inputs, attributes, type })

const filled = (dtype: DType, length: number): Data =>
  dtype === 'int32' ? new Int32Array(length) : dtype === 'bool' ? new Uint8Array(length) : new Float32Array(length)
/** An array of numbers; a single number stands for all. */
export const constant = (type: TensorType, numbers: readonly number[]): Constant => {
  const data = filled(type.dtype, size(type.shape))
  const held = isHalf(type.dtype) ? numbers.map(roundings[type.dtype]) : numbers
  if (held.length === 1) data.fill(held[0] ?? 0)
  else data.set(held)
  return { kind: 'constant', type, data }
}
export const scalar = (dtype: DType, value: number): Constant => constant({ dtype, shape: [] }, [value])

export const shapeOf = ({ type }: Value): Shape => type.shape
export const dtypeOf = ({ type }: Value): DType => type.dtype
const shaped = (x: Value, shape: Shape): TensorType => ({ dtype: x.type.dtype, shape })

export const reshape = (x: Value, shape: Shape): Value => {
  if (sameShape(x.type.shape, shape)) return x
  const [before] = x.kind === 'call' && x.kernel === 'Reshape' ? x.inputs : []
  return before === undefined ? call('Reshape', [x], shaped(x, shape), { shape }) : reshape(before, shape)
}
export const transpose = (x: Value, permutation: readonly number[]): Value =>
  isIdentity(permutation)
    ? x
    : call('Transpose', [x], shaped(x, permuted(x.type.shape, permutation)), { perm: permutation })
export const slice = (x: Value, begin: Shape, extent: Shape): Value =>
  sameShape(x.type.shape, extent) ? x : call('Slice', [x], shaped(x, extent), { begin, size: extent })
/** Every `steps`-th element of each axis, from `begin` to before `end`. */
export const stridedSlice = (x: Value, begin: Shape, end: Shape, steps: Shape): Value =>
  steps.every((s) => s === 1)
    ? slice(
        x,
        begin,
        end.map((e, i) => e - (begin[i] ?? 0)),
      )
    : call(
        'StridedSlice',
        [x],
        shaped(
          x,
          end.map((e, i) => Math.ceil((e - (begin[i] ?? 0)) / (steps[i] ?? 1))),
        ),
        { begin, end, strides: steps, beginMask: 0, endMask: 0, ellipsisMask: 0, newAxisMask: 0, shrinkAxisMask: 0 },
      )
/** Zeros before and after each axis. */
export const pad = (x: Value, low: Shape, high: Shape): Value =>
  [...low, ...high].every((d) => d === 0)
    ? x
    : call(
        'PadV2',
        [x],
        shaped(
          x,
          x.type.shape.map((d, i) => d + (low[i] ?? 0) + (high[i] ?? 0)),
        ),
        { paddings: low.map((l, i) => [l, high[i] ?? 0]), constantValue: 0 },
      )
export const concat = (axis: number, xs: readonly [Value, ...(readonly Value[])]): Value => {
  const [first, ...rest] = xs
  if (rest.length === 0) return first
  const extent = xs.reduce((n, x) => n + (x.type.shape[axis] ?? 0), 0)
  return call('Concat', xs, shaped(first, first.type.shape.with(axis, extent)), { axis })
}
/** The elements repeated to a shape they broadcast to. */
export const broadcast = (x: Value, shape: Shape): Value => {
  const own = x.type.shape
  const aligned = reshape(x, [...Array.from({ length: shape.length - own.length }, () => 1), ...own])
  const reps = shape.map((d, i) => (d === aligned.type.shape[i] ? 1 : d))
  return reps.every((r) => r === 1) ? aligned : call('Tile', [aligned], shaped(x, shape), { reps })
}
/** Half precision that was widened is what it was. */
const widenedFrom = (x: Value, to: DType): Value | undefined => {
  const [from] = x.kind === 'call' && x.kernel === 'Cast' && dtypeOf(x) === 'float32' ? x.inputs : []
  return from !== undefined && isHalf(to) && dtypeOf(from) === to ? from : undefined
}
export const cast = (x: Value, to: DType): Value =>
  dtypeOf(x) === to ? x : (widenedFrom(x, to) ?? call('Cast', [x], { dtype: to, shape: x.type.shape }, { dtype: to }))

/** Sums over axes, which stay with length 1. */
export const sum = (x: Value, axes: readonly number[]): Value =>
  axes.length === 0
    ? x
    : call(
        'Sum',
        [x],
        shaped(
          x,
          x.type.shape.map((d, i) => (axes.includes(i) ? 1 : d)),
        ),
        { axis: axes, keepDims: true },
      )
