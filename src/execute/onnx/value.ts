import { bfloatBitsOf, halfBits } from '../../graph/half.ts'
import { type DType, type Shape, sameShape } from '../../graph/types.ts'
import type { FileElement } from '../executor.ts'
import { isIdentity, range } from '../layout.ts'

/**
 * An ONNX computation as an immutable expression. Calls are written down as these; `assemble` numbers what the outputs reach,
 * equal calls once, so that calls share work by writing the same thing.
 */
export type Value = Absent | Leaf | Constant | Filed | Result

/** An optional operand left out. */
export interface Absent {
  readonly kind: 'absent'
}
/** A model input. */
export interface Leaf {
  readonly kind: 'leaf'
  readonly name: string
}
export type ElementType = DType | 'int64' | 'float64' | 'uint8'
export type Data = Float32Array | Float64Array | Uint16Array | Int32Array | Uint8Array | BigInt64Array
export interface Constant {
  readonly kind: 'constant'
  readonly element: ElementType
  readonly shape: Shape
  readonly data: Data
}
/** A constant whose numbers the runtime finds in a file. */
export interface Filed {
  readonly kind: 'filed'
  readonly element: FileElement
  readonly shape: Shape
  readonly path: string
  readonly position: number
}
/** A constant by its name in a model. */
export interface Initializer {
  readonly name: string
  readonly value: Constant | Filed
}
export interface Result {
  readonly kind: 'result'
  readonly node: OnnxNode
  readonly index: number
}
/** One ONNX node. */
export interface OnnxNode {
  readonly op: string
  readonly domain: Domain
  readonly attributes: Attributes
  readonly inputs: readonly Value[]
  /** Not shared with the same call without the mark. */
  readonly anew?: true
  /** The shape of its first result, where it is asked for. */
  readonly shape?: Shape
}
export type Domain = '' | 'com.microsoft' | 'com.microsoft.nchwc'
export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly text: string }
export type Attributes = Readonly<Record<string, Attribute>>

export const int = (value: number): Attribute => ({ int: value })
export const ints = (value: readonly number[]): Attribute => ({ ints: value })
export const float = (value: number): Attribute => ({ float: value })
export const text = (value: string): Attribute => ({ text: value })

export const absent: Absent = { kind: 'absent' }
export const leaf = (name: string): Leaf => ({ kind: 'leaf', name })
export const constantOf = (element: ElementType, shape: Shape, data: Data): Constant => ({
  kind: 'constant',
  element,
  shape,
  data,
})
/** A list of sizes or axes, as ONNX ops take them. */
export const int64s = (values: readonly number[]): Constant =>
  constantOf('int64', [values.length], BigInt64Array.from(values, BigInt))

const filled: { readonly [D in DType]: (length: number, values: readonly number[]) => Data } = {
  float32: (length, values) => fill(new Float32Array(length), values),
  float16: (length, values) => fill(new Uint16Array(length), values.map(halfBits)),
  bfloat16: (length, values) => fill(new Uint16Array(length), values.map(bfloatBitsOf)),
  int32: (length, values) => fill(new Int32Array(length), values),
  bool: (length, values) => fill(new Uint8Array(length), values),
}
const fill = <A extends Float32Array | Uint16Array | Int32Array | Uint8Array>(
  into: A,
  values: readonly number[],
): A => {
  if (values.length === 1) into.fill(values[0] ?? 0)
  else into.set(values)
  return into
}
/** An array of numbers; a single number stands for all. */
export const arrayOf = (dtype: DType, shape: Shape, values: readonly number[]): Constant =>
  constantOf(
    dtype,
    shape,
    filled[dtype](
      shape.reduce((a, b) => a * b, 1),
      values,
    ),
  )
/** One number everywhere, filled at run time where it is large. */
export const filledWith = (dtype: DType, shape: Shape, value: number): Value =>
  shape.reduce((a, b) => a * b, 1) <= inlineElements
    ? arrayOf(dtype, shape, [value])
    : call('Expand', [scalar(dtype, value), int64s(shape)])
const inlineElements = 1024
export const scalar = (dtype: DType, value: number): Constant => arrayOf(dtype, [], [value])
export const floats = (shape: Shape, values: readonly number[]): Constant => arrayOf('float32', shape, values)

/** The first result of an ONNX op. */
export const call = (op: string, inputs: readonly Value[], attributes: Attributes = {}, domain: Domain = ''): Value =>
  result({ op, domain, attributes, inputs }, 0)
export const result = (node: OnnxNode, index: number): Value => ({ kind: 'result', node, index })

/** What an array is the same numbers of, in another shape that is known. */
export const reshaped = (x: Value): Value | undefined =>
  x.kind === 'result' && x.node.op === 'Reshape' && x.node.inputs[1]?.kind === 'constant' ? x.node.inputs[0] : undefined
/** Of a reshaped array, the one that it was made of is reshaped, or it is that one where its shape is known. */
export const reshape = (x: Value, shape: Shape): Value => {
  const source = reshaped(x) ?? x
  const itsShape = knownShape(source)
  if (itsShape !== undefined && sameShape(itsShape, shape)) return source
  // Left to itself ONNX takes a length of 0 for one that stays.
  return call('Reshape', [source, int64s(shape)], shape.includes(0) ? { allowzero: int(1) } : {})
}
export const knownShape = (x: Value): Shape | undefined =>
  x.kind === 'result' && x.index === 0 ? x.node.shape : undefined
/** The same array, its shape known. */
export const ofShape = (x: Value, shape: Shape): Value =>
  x.kind === 'result' ? result({ ...x.node, shape }, x.index) : x
export const transpose = (x: Value, permutation: readonly number[]): Value =>
  isIdentity(permutation) ? x : call('Transpose', [x], { perm: ints(permutation) })
/** Its last two axes, exchanged. */
export const swapLast = (x: Value, { length }: Shape): Value =>
  transpose(x, [...range(length - 2), length - 1, length - 2])
export const slice = (x: Value, start: Shape, end: Shape, steps: Shape = start.map(() => 1)): Value =>
  call('Slice', [x, int64s(start), int64s(end), int64s(start.map((_, i) => i)), int64s(steps)])
export const concat = (axis: number, xs: readonly Value[]): Value => call('Concat', xs, { axis: int(axis) })
/** Zeros before and after each axis; what is negative is cut off. */
export const pad = (x: Value, low: Shape, high: Shape, zero: Constant = scalar('float32', 0)): Value =>
  low.every((d) => d === 0) && high.every((d) => d === 0) ? x : call('Pad', [x, int64s([...low, ...high]), zero])
export const reduceSum = (x: Value, axes: readonly number[], keepDims: boolean): Value =>
  axes.length === 0 ? x : call('ReduceSum', [x, int64s(axes)], { keepdims: int(keepDims ? 1 : 0) })
export const cast = (x: Value, to: ElementType): Value => call('Cast', [x], { to: int(elementCode[to]) })

/** TensorProto.DataType */
export const elementCode: { readonly [D in ElementType]: number } = {
  float32: 1,
  float16: 10,
  bfloat16: 16,
  int32: 6,
  int64: 7,
  bool: 9,
  float64: 11,
  uint8: 2,
}
