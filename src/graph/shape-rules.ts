import { E, type Either } from '../prelude.ts'
import { type Attributes, arity, each, families, type OpKind } from './ops.ts'
import {
  broadcastShapes,
  type DType,
  isFloat,
  isHalf,
  type Shape,
  sameShape,
  showShape,
  showType,
  size,
  type TensorType,
} from './types.ts'

/** Why operands do not fit, before it is known where. */
export interface Misfit {
  readonly expected: string
  readonly got: string
  readonly hint?: string
}
type Inferred = Either<Misfit, TensorType>
type Rule<K extends OpKind> = (attributes: Attributes[K], operands: readonly TensorType[]) => Inferred

type AnyRule = (attributes: object, operands: readonly TensorType[]) => Inferred

const misfit = (expected: string, got: string, hint?: string): Either<Misfit, never> =>
  E.left(hint === undefined ? { expected, got } : { expected, got, hint })
const showTypes = (ts: readonly TensorType[]): string => ts.map(showType).join(' and ')
const natural = (...ns: readonly number[]): boolean => ns.every((n) => Number.isSafeInteger(n) && n >= 0)
const positive = (...ns: readonly number[]): boolean => natural(...ns) && !ns.includes(0)
const ok = (dtype: DType, shape: Shape): Inferred =>
  natural(...shape) ? E.right({ dtype, shape }) : misfit('a shape of whole numbers from 0', showShape(shape))
const isAxis = (axis: number, { shape }: TensorType): boolean => natural(axis) && axis < shape.length

/** The operand at `i`; arity is checked before any rule runs. */
const at = (ts: readonly TensorType[], i: number): TensorType => {
  const found = ts[i]
  if (found === undefined) throw new Error(`shape rule reached past its operands: ${i}`)
  return found
}
const dim = (s: Shape, i: number): number => s[i] ?? -1

const floatUnary: AnyRule = (_, ts) =>
  isFloat(at(ts, 0).dtype) ? E.right(at(ts, 0)) : misfit('a float tensor', showTypes(ts))
/** Of what 11 bits are not enough for: exponentials, timesteps, statistics. */
const wideUnary: AnyRule = (_, ts) =>
  at(ts, 0).dtype === 'float32' ? E.right(at(ts, 0)) : misfit('a float32 tensor', showTypes(ts), castFirst(ts))
const castFirst = (ts: readonly TensorType[]): string | undefined =>
  ts.some((x) => isHalf(x.dtype)) ? 'cast to float32 first' : undefined
/** Products take operands of one float dtype. */
const floats = (ts: readonly TensorType[]): boolean =>
  isFloat(at(ts, 0).dtype) && ts.every((x) => x.dtype === at(ts, 0).dtype)
const numericUnary: AnyRule = (_, ts) =>
  at(ts, 0).dtype !== 'bool' ? E.right(at(ts, 0)) : misfit('a numeric tensor', showTypes(ts))
const identity: AnyRule = (_, ts) => E.right(at(ts, 0))

const elementwise =
  (result?: DType) =>
  (_: object, ts: readonly TensorType[]): Inferred => {
    const [a, b] = [at(ts, 0), at(ts, 1)]
    if (a.dtype !== b.dtype) return misfit('operands of one dtype', showTypes(ts), 'cast one of them')
    if (a.dtype === 'bool') return misfit('numeric operands', showTypes(ts))
    const shape = broadcastShapes(a.shape, b.shape)
    return shape === undefined ? misfit('shapes that broadcast together', showTypes(ts)) : ok(result ?? a.dtype, shape)
  }

const axesFit = (axes: readonly number[], rank: number): boolean =>
  natural(...axes) && axes.every((a) => a < rank) && new Set(axes).size === axes.length
const reduced = (s: Shape, axes: readonly number[], keepDims: boolean): Shape =>
  keepDims ? s.map((d, i) => (axes.includes(i) ? 1 : d)) : s.filter((_, i) => !axes.includes(i))
const reduction = ({ axes, keepDims }: Attributes['sum'], ts: readonly TensorType[]): Inferred => {
  const x = at(ts, 0)
  if (x.dtype === 'bool' || isHalf(x.dtype)) return misfit('a numeric tensor of 32 bits', showTypes(ts), castFirst(ts))
  return axesFit(axes, x.shape.length)
    ? ok(x.dtype, reduced(x.shape, axes, keepDims))
    : misfit(`distinct axes below the rank ${x.shape.length}`, showShape(axes))
}
/** Of nothing there is no greatest. */
const greatest = (a: Attributes['reduceMax'], ts: readonly TensorType[]): Inferred =>
  a.axes.some((axis) => at(ts, 0).shape[axis] === 0)
    ? misfit(`axes of ${showTypes(ts)} with an element`, showShape(a.axes))
    : reduction(a, ts)
const hasElement = (axis: number, x: TensorType): boolean => isAxis(axis, x) && x.shape[axis] !== 0
const argReduction = ({ axis }: Attributes['argMax'], ts: readonly TensorType[]): Inferred =>
  !isHalf(at(ts, 0).dtype) && hasElement(axis, at(ts, 0))
    ? ok('int32', reduced(at(ts, 0).shape, [axis], false))
    : misfit(`an axis of ${showTypes(ts)} with an element`, String(axis))

type Window = Attributes['conv2d']
const windowFits = ({ stride, padding }: Window): boolean =>
  stride.length === 2 && padding.length === 4 && positive(...stride) && natural(...padding)
const outputSize = (input: number, kernel: number, axis: 0 | 1, { stride, padding }: Window): number =>
  Math.floor((input + dim(padding, axis) + dim(padding, axis + 2) - kernel) / dim(stride, axis)) + 1

/** Spatial size of a convolution's output for input size [H,W] and kernel [h,w]. */
export const convOutputSize = (input: Shape, kernel: Shape, w: Window): readonly [number, number] => [
  outputSize(dim(input, 0), dim(kernel, 0), 0, w),
  outputSize(dim(input, 1), dim(kernel, 1), 1, w),
]
const rank4 = (...ts: readonly TensorType[]): boolean => ts.every((x) => x.shape.length === 4) && floats(ts)
const wide = (...ts: readonly TensorType[]): boolean => ts.every((x) => x.dtype === 'float32')

/** All three convolution rules say the same: x, w and y of one convolution fit together. */
const convolves = (x: Shape, w: Shape, y: Shape, window: Window): boolean =>
  windowFits(window) &&
  dim(x, 0) === dim(y, 0) &&
  dim(x, 1) === dim(w, 1) &&
  dim(w, 0) === dim(y, 1) &&
  sameShape(convOutputSize(x.slice(2), w.slice(2), window), y.slice(2)) &&
  [...x, ...w, ...y].every((d) => d > 0)

const norm =
  (shapeOf: (x: Shape, groups: number) => Shape) =>
  ({ groups }: { readonly groups: number }, ts: readonly TensorType[]): Inferred => {
    const [x, ...affine] = [at(ts, 0), ...ts.slice(1)]
    const channels = dim(x.shape, 1)
    if (x.dtype !== 'float32' || x.shape.length < 2) return misfit('float32[N, C, ...]', showTypes(ts))
    if (!positive(groups) || channels % groups !== 0)
      return misfit(`channels divisible by ${groups} groups`, `${channels} channels`)
    if (x.shape.slice(1).includes(0)) return misfit('numbers in each group', showTypes(ts))
    return affine.every((p) => p.dtype === 'float32' && sameShape(p.shape, [channels]))
      ? ok('float32', shapeOf(x.shape, groups))
      : misfit(`weight and bias of shape [${channels}]`, showTypes(affine))
  }

/** Whether indices can point at one of so many rows, if there are any. */
const hasRow = (rows: number, indices: TensorType): boolean => rows > 0 || size(indices.shape) === 0

const rules: { readonly [K in OpKind]: Rule<K> } = {
  input: ({ type }) => ok(type.dtype, type.shape),
  parameter: ({ shape }) => ok('float32', shape),
  noise: ({ shape }) => ok('float32', shape),
  constant: ({ type, data }) =>
    !data.every(Number.isFinite)
      ? misfit(
          'finite numbers',
          data
            .filter((d) => !Number.isFinite(d))
            .slice(0, 3)
            .join(', '),
        )
      : data.length === 1 || data.length === size(type.shape)
        ? ok(type.dtype, type.shape)
        : misfit(`${size(type.shape)} numbers for ${showType(type)}, or one for all`, `${data.length} numbers`),

  ...each(families.unary, wideUnary),
  ...each(['neg', 'abs', 'sign'], numericUnary),
  ...each(['tanh', 'sigmoid', 'floor', 'silu'], floatUnary),
  ...each(families.identity, identity),
  ...each(families.arithmetic, elementwise()),
  ...each(families.comparison, elementwise('bool')),
  cast: ({ to }, ts) => ok(to, at(ts, 0).shape),

  select: (_, ts) => {
    const [condition, a, b] = [at(ts, 0), at(ts, 1), at(ts, 2)]
    const branches = broadcastShapes(a.shape, b.shape)
    const shape = branches === undefined ? undefined : broadcastShapes(condition.shape, branches)
    return condition.dtype !== 'bool' || a.dtype !== b.dtype || shape === undefined
      ? misfit('a bool condition and two branches of one dtype that broadcast together', showTypes(ts))
      : ok(a.dtype, shape)
  },

  sum: reduction,
  reduceMax: greatest,
  argMax: argReduction,
  argMin: argReduction,
  softmax: ({ axis }, ts) =>
    hasElement(axis, at(ts, 0))
      ? wideUnary({}, ts)
      : misfit(`an axis of ${showTypes(ts)} with an element`, String(axis)),

  matmul: ({ transposeA, transposeB }, ts) => {
    const [a, b] = [at(ts, 0).shape, at(ts, 1).shape]
    if (a.length < 2 || b.length < 2 || !floats(ts))
      return misfit('two operands of one float dtype, of rank 2 or more', showTypes(ts))
    const [m, k] = transposeA
      ? [dim(a, a.length - 1), dim(a, a.length - 2)]
      : [dim(a, a.length - 2), dim(a, a.length - 1)]
    const [l, n] = transposeB
      ? [dim(b, b.length - 1), dim(b, b.length - 2)]
      : [dim(b, b.length - 2), dim(b, b.length - 1)]
    const batch = broadcastShapes(a.slice(0, -2), b.slice(0, -2))
    if (k !== l) return misfit(`inner dimensions that agree`, `${k} and ${l} in ${showTypes(ts)}`)
    return batch === undefined
      ? misfit('batch dimensions that broadcast', showTypes(ts))
      : ok(at(ts, 0).dtype, [...batch, m, n])
  },
  conv2d: (window, ts) => {
    const [x, w] = [at(ts, 0), at(ts, 1)]
    if (!rank4(x, w)) return misfit('x [N, C, H, W] and weight [O, C, h, w] of one float dtype', showTypes(ts))
    const y = [dim(x.shape, 0), dim(w.shape, 0), ...convOutputSize(x.shape.slice(2), w.shape.slice(2), window)]
    if (dim(x.shape, 1) !== dim(w.shape, 1))
      return misfit(
        `${dim(w.shape, 1)} input channels, as the weight has`,
        `${dim(x.shape, 1)} channels in ${showType(x)}`,
      )
    return convolves(x.shape, w.shape, y, window)
      ? ok(x.dtype, y)
      : misfit('a kernel that fits in the padded input', `${showTypes(ts)} with ${JSON.stringify(window)}`)
  },
  convInputGrad: (window, ts) => {
    const [y, w] = [at(ts, 0), at(ts, 1)]
    const x = [dim(y.shape, 0), dim(w.shape, 1), ...window.size]
    return rank4(y, w) && wide(y, w) && convolves(x, w.shape, y.shape, window)
      ? ok('float32', x)
      : misfit(`dy and weight of a convolution over ${showShape(window.size)}`, showTypes(ts))
  },
  convWeightGrad: (window, ts) => {
    const [x, y] = [at(ts, 0), at(ts, 1)]
    const w = [dim(y.shape, 1), dim(x.shape, 1), ...window.kernel]
    return rank4(x, y) && wide(x, y) && convolves(x.shape, w, y.shape, window)
      ? ok('float32', w)
      : misfit(`x and dy of a convolution with kernel ${showShape(window.kernel)}`, showTypes(ts))
  },

  reshape: ({ shape }, ts) =>
    size(shape) === size(at(ts, 0).shape)
      ? ok(at(ts, 0).dtype, shape)
      : misfit(
          `a shape of ${size(at(ts, 0).shape)} elements, as ${showTypes(ts)} has`,
          `${showShape(shape)} of ${size(shape)}`,
        ),
  transpose: ({ permutation }, ts) => {
    const x = at(ts, 0)
    return permutation.length === x.shape.length && axesFit(permutation, x.shape.length)
      ? ok(
          x.dtype,
          permutation.map((p) => dim(x.shape, p)),
        )
      : misfit(`a permutation of ${x.shape.length} axes`, showShape(permutation))
  },
  slice: ({ start, size: extent }, ts) => {
    const x = at(ts, 0)
    const inside = x.shape.every(
      (d, i) => natural(dim(start, i), dim(extent, i)) && dim(start, i) + dim(extent, i) <= d,
    )
    return start.length === x.shape.length && extent.length === x.shape.length && inside
      ? ok(x.dtype, extent)
      : misfit(`a part of ${showType(x)}`, `start ${showShape(start)}, size ${showShape(extent)}`)
  },
  pad: ({ low, high }, ts) => {
    const x = at(ts, 0)
    return low.length === x.shape.length && high.length === x.shape.length && natural(...low, ...high)
      ? ok(
          x.dtype,
          x.shape.map((d, i) => d + dim(low, i) + dim(high, i)),
        )
      : misfit(`paddings from 0 for ${x.shape.length} axes`, `${showShape(low)} and ${showShape(high)}`)
  },
  concat: ({ axis }, ts) => {
    const first = at(ts, 0)
    const fits = (x: TensorType): boolean =>
      x.dtype === first.dtype &&
      x.shape.length === first.shape.length &&
      x.shape.every((d, i) => i === axis || d === dim(first.shape, i))
    return isAxis(axis, first) && ts.every(fits)
      ? ok(
          first.dtype,
          first.shape.map((d, i) => (i === axis ? ts.reduce((n, x) => n + dim(x.shape, i), 0) : d)),
        )
      : misfit(`tensors that differ along axis ${axis} only`, showTypes(ts))
  },
  broadcast: ({ shape }, ts) => {
    const joint = broadcastShapes(at(ts, 0).shape, shape)
    return joint !== undefined && sameShape(joint, shape)
      ? ok(at(ts, 0).dtype, shape)
      : misfit(`a shape that ${showTypes(ts)} broadcasts to`, showShape(shape))
  },
  gather: (_, ts) => {
    const [table, indices] = [at(ts, 0), at(ts, 1)]
    if (indices.dtype !== 'int32' || table.shape.length === 0)
      return misfit('a table of rank 1 or more and int32 indices', showTypes(ts))
    return hasRow(dim(table.shape, 0), indices)
      ? ok(table.dtype, [...indices.shape, ...table.shape.slice(1)])
      : misfit('a table with rows', showTypes(ts))
  },
  scatterAdd: ({ rows }, ts) => {
    const [indices, updates] = [at(ts, 0), at(ts, 1)]
    const rank = indices.shape.length
    if (
      indices.dtype !== 'int32' ||
      updates.dtype === 'bool' ||
      !sameShape(updates.shape.slice(0, rank), indices.shape)
    )
      return misfit('int32 indices and numeric updates that begin with their shape', showTypes(ts))
    return hasRow(rows, indices)
      ? ok(updates.dtype, [rows, ...updates.shape.slice(rank)])
      : misfit('rows to add to', `${rows} for ${showTypes(ts)}`)
  },
  upsampleNearest: ({ factor }, ts) => {
    const x = at(ts, 0)
    return rank4(x) && factor.length === 2 && positive(...factor)
      ? ok(x.dtype, [
          dim(x.shape, 0),
          dim(x.shape, 1),
          dim(x.shape, 2) * dim(factor, 0),
          dim(x.shape, 3) * dim(factor, 1),
        ])
      : misfit('floats [N, C, H, W] and two factors', showTypes(ts))
  },
  maxPool: ({ factor }, ts) => {
    const x = at(ts, 0)
    const [down, right] = [dim(factor, 0), dim(factor, 1)]
    const divides = dim(x.shape, 2) % down === 0 && dim(x.shape, 3) % right === 0
    return rank4(x) && factor.length === 2 && positive(...factor) && divides
      ? ok(x.dtype, [dim(x.shape, 0), dim(x.shape, 1), dim(x.shape, 2) / down, dim(x.shape, 3) / right])
      : misfit(`floats [N, C, H, W] that windows of ${factor.join(' by ')} fill`, showTypes(ts))
  },

  groupNorm: norm((x) => x),
  standardize: norm((x) => x),
  groupRstd: norm((x, groups) => [dim(x, 0), groups]),
}

/** The type of an op's result, from its attributes and the types of its operands. */
export const inferType = <K extends OpKind>(
  op: K,
  attributes: Attributes[K],
  operands: readonly TensorType[],
): Inferred => {
  const expected = arity[op]
  return (expected === null ? operands.length > 0 : operands.length === expected)
    ? rules[op](attributes, operands)
    : misfit(`${expected ?? 'one or more'} operands`, `${operands.length}`)
}
