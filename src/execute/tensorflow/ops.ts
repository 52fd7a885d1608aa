import type { Attributes, Kernel } from '../tfjs/kernel.ts'
import type { Step } from '../tfjs/program.ts'
import { type Constant, constant } from '../tfjs/value.ts'
import { type Attribute, flag, int, text, typeIs } from './addon.ts'

/** An op of TensorFlow's. */
export interface Op {
  readonly name: string
  readonly attributes: readonly Attribute[]
  /** What it reads: inputs of the step by their place, and arrays that never change. */
  readonly reads: readonly (number | Constant)[]
}
type Row = (step: Pick<Step, 'attributes' | 'inputs' | 'type'>) => Op

type Listed = Attributes[string] | undefined
const numbers = (a: Listed): readonly number[] =>
  typeof a === 'object' ? a.flatMap((x) => (typeof x === 'number' ? [x] : [...x])) : []
const number = (a: Listed): number => (typeof a === 'number' ? a : 0)
const word = (a: Listed): string => (typeof a === 'string' ? a : '')
const isTrue = (a: Listed): boolean => a === true

const one = (x: number): Constant => constant({ dtype: 'int32', shape: [] }, [x])
const list = (xs: readonly number[]): Constant => {
  const { type, data } = constant({ dtype: 'int32', shape: [xs.length] }, [])
  data.set(xs)
  return { kind: 'constant', type, data }
}
const pairs = (xs: readonly number[]): Constant => {
  const { type, data } = constant({ dtype: 'int32', shape: [xs.length / 2, 2] }, [])
  data.set(xs)
  return { kind: 'constant', type, data }
}

const plain =
  (name: string): Row =>
  ({ inputs }) => ({ name, attributes: [], reads: inputs.map((_, i) => i) })
/** Numbers of an attribute of ours as an array behind the input. */
const with_ =
  (name: string, ...given: readonly string[]): Row =>
  ({ attributes }) => ({ name, attributes: [], reads: [0, ...given.map((key) => list(numbers(attributes[key])))] })
const reduction =
  (name: string, axes: string): Row =>
  ({ attributes }) => ({
    name,
    attributes: [flag('keep_dims', isTrue(attributes.keepDims))],
    reads: [0, list(numbers(attributes[axes]))],
  })
const argument =
  (name: string): Row =>
  ({ attributes: { axis } }) => ({ name, attributes: [typeIs('output_type', 'int32')], reads: [0, one(number(axis))] })

const window = (extents: Listed): readonly number[] => {
  const [h = number(extents), w = number(extents)] = numbers(extents)
  return [1, h, w, 1]
}
const padding = (pad: Listed): readonly Attribute[] =>
  typeof pad === 'object'
    ? [text('padding', 'EXPLICIT'), int('explicit_paddings', numbers(pad))]
    : [text('padding', word(pad).toUpperCase())]
const convolution = ({ strides, pad }: Attributes): readonly Attribute[] => [
  int('strides', window(strides)),
  ...padding(pad),
]

/** How TensorFlow computes each kernel. What follows from the types of its inputs is not said. */
const rows: { readonly [K in Kernel]: Row } = {
  Abs: plain('Abs'),
  Add: plain('AddV2'),
  ArgMax: argument('ArgMax'),
  ArgMin: argument('ArgMin'),
  BatchMatMul: ({ attributes: { transposeA, transposeB } }) => ({
    name: 'BatchMatMulV2',
    attributes: [flag('adj_x', isTrue(transposeA)), flag('adj_y', isTrue(transposeB))],
    reads: [0, 1],
  }),
  Cast: ({ type: { dtype } }) => ({ name: 'Cast', attributes: [typeIs('DstT', dtype)], reads: [0] }),
  Concat: ({ attributes: { axis }, inputs, type: { dtype } }) => ({
    name: 'ConcatV2',
    attributes: [int('N', inputs.length), typeIs('T', dtype), typeIs('Tidx', 'int32')],
    reads: [...inputs.map((_, i) => i), one(number(axis))],
  }),
  Conv2D: ({ attributes }) => ({ name: 'Conv2D', attributes: convolution(attributes), reads: [0, 1] }),
  Conv2DBackpropFilter: ({ attributes }) => ({
    name: 'Conv2DBackpropFilter',
    attributes: convolution(attributes),
    reads: [0, list(numbers(attributes.filterShape)), 1],
  }),
  Conv2DBackpropInput: ({ attributes }) => ({
    name: 'Conv2DBackpropInput',
    attributes: convolution(attributes),
    reads: [list(numbers(attributes.inputShape)), 1, 0],
  }),
  Cos: plain('Cos'),
  Equal: plain('Equal'),
  Erf: plain('Erf'),
  Exp: plain('Exp'),
  Floor: plain('Floor'),
  FloorDiv: plain('FloorDiv'),
  GatherV2: ({ attributes: { axis } }) => ({ name: 'GatherV2', attributes: [], reads: [0, 1, one(number(axis))] }),
  Less: plain('Less'),
  Log: plain('Log'),
  Max: reduction('Max', 'reductionIndices'),
  MaxPool: ({ attributes: { filterSize, strides, pad } }) => ({
    name: 'MaxPool',
    attributes: [int('ksize', window(filterSize)), int('strides', window(strides)), ...padding(pad)],
    reads: [0],
  }),
  Maximum: plain('Maximum'),
  Minimum: plain('Minimum'),
  Multiply: plain('Mul'),
  Neg: plain('Neg'),
  NotEqual: plain('NotEqual'),
  OneHot: ({ attributes: { depth, onValue, offValue } }) => ({
    name: 'OneHot',
    attributes: [],
    reads: [0, one(number(depth)), one(number(onValue)), one(number(offValue))],
  }),
  PadV2: ({ attributes: { paddings } }) => ({ name: 'Pad', attributes: [], reads: [0, pairs(numbers(paddings))] }),
  RealDiv: plain('RealDiv'),
  Reshape: with_('Reshape', 'shape'),
  ResizeNearestNeighbor: with_('ResizeNearestNeighbor', 'size'),
  Rsqrt: plain('Rsqrt'),
  Select: plain('SelectV2'),
  Sigmoid: plain('Sigmoid'),
  Sin: plain('Sin'),
  Slice: with_('Slice', 'begin', 'size'),
  Softmax: plain('Softmax'),
  Sqrt: plain('Sqrt'),
  Square: plain('Square'),
  StridedSlice: with_('StridedSlice', 'begin', 'end', 'strides'),
  Sub: plain('Sub'),
  Sum: reduction('Sum', 'axis'),
  Tanh: plain('Tanh'),
  Tile: with_('Tile', 'reps'),
  Transpose: with_('Transpose', 'perm'),
}

export const opOf = (step: Pick<Step, 'kernel' | 'attributes' | 'inputs' | 'type'>): Op => rows[step.kernel](step)
