import fc from 'fast-check'
import { type Attributes, meanings, type OpKind } from '../../src/graph/ops.ts'
import { convOutputSize } from '../../src/graph/shape-rules.ts'
import { type DType, dtypes, float, int, isHalf, type Shape, size, type TensorType } from '../../src/graph/types.ts'
import {
  any,
  apart,
  below,
  betweenWhole,
  bounded,
  type Domain,
  distinct,
  divisor,
  eighths,
  integer,
  positive,
  quarters,
  smallInteger,
  truth,
  whole,
} from './domains.ts'
import { axisOf, broadcastableTo, extent, perAxis, permutationOf, shapeOf } from './shapes.ts'

/** What an op can be applied to: a type, and numbers on which it is defined and smooth. */
export interface Operand {
  readonly type: TensorType
  readonly domain: Domain
}
export interface Application<K extends OpKind> {
  readonly attributes: Attributes[K]
  readonly operands: readonly Operand[]
}
type Applications<K extends OpKind> = fc.Arbitrary<Application<K>>

const operand = (dtype: DType, shape: Shape, domain: Domain): Operand => ({ type: { dtype, shape }, domain })
const real = (shape: Shape, domain: Domain = any): Operand => operand('float32', shape, domain)
const kinds: { readonly [D in DType]: Domain } = {
  float32: any,
  float16: any,
  bfloat16: any,
  int32: integer,
  bool: truth,
}
const either = <A>(a: A, b: A): fc.Arbitrary<A> => fc.constantFrom(a, b)

const unary = (...choices: readonly (readonly [DType, Domain])[]) =>
  fc
    .tuple(shapeOf(0), fc.constantFrom(...choices))
    .map(([shape, [dtype, domain]]) => ({ attributes: {}, operands: [operand(dtype, shape, domain)] }))
const smooth = unary(['float32', any])

/** Two shapes that broadcast to one; either may be the smaller. */
const pairOf = (s: Shape): fc.Arbitrary<readonly [Shape, Shape]> =>
  fc.tuple(broadcastableTo(s), fc.boolean()).map(([small, first]) => (first ? [small, s] : [s, small]))
const binary = (...choices: readonly (readonly [DType, Domain, Domain])[]) =>
  fc
    .tuple(shapeOf(0).chain(pairOf), fc.constantFrom(...choices))
    .map(([[a, b], [dtype, da, db]]) => ({ attributes: {}, operands: [operand(dtype, a, da), operand(dtype, b, db)] }))
const additive = binary(['float32', any, any], ['int32', integer, integer])
const extremum = binary(['float32', quarters, eighths], ['int32', integer, integer])
const comparison = binary(['float32', whole, whole], ['int32', integer, integer])

const reduction = (domain: Domain) =>
  fc
    .tuple(shapeOf(0), either<readonly [DType, Domain]>(['float32', domain], ['int32', integer]), fc.boolean())
    .chain(([shape, [dtype, own], keepDims]) =>
      fc.subarray(shape.map((_, i) => i)).map((axes) => ({
        attributes: { axes, keepDims },
        operands: [operand(dtype, shape, own)],
      })),
    )
const along = (...domains: readonly Domain[]) =>
  fc
    .tuple(shapeOf(1), fc.constantFrom(...domains))
    .chain(([shape, domain]) =>
      axisOf(shape).map((axis) => ({ attributes: { axis }, operands: [real(shape, domain)] })),
    )

/** Now and then as many as there are in a processor's vectors and blocks, and one more. */
const channelCount = fc.oneof({ arbitrary: extent, weight: 6 }, { arbitrary: fc.constantFrom(4, 8, 16, 17), weight: 1 })

/** Now and then wider, so that padding is more than a kernel sees, and strides leave ends out. */
const now = (usual: fc.Arbitrary<number>, most: number): fc.Arbitrary<number> =>
  fc.oneof({ arbitrary: usual, weight: 4 }, { arbitrary: fc.nat(most), weight: 1 })
const [step, edge, spare] = [now(fc.nat(1), 3).map((s) => s + 1), now(fc.nat(2), 6), now(fc.nat(3), 15)]
/** A convolution whose kernel fits: shapes of x, weight and y, and the window. */
const convolution = fc
  .record({
    batch: fc.integer({ min: 1, max: 2 }),
    channels: channelCount,
    outs: channelCount,
    kernel: fc.tuple(extent, extent),
    stride: fc.tuple(step, step),
    padding: fc.oneof(fc.constant([0, 0, 0, 0]), fc.array(edge, { minLength: 4, maxLength: 4 })),
    spare: fc.tuple(spare, spare),
  })
  .map(({ batch, channels, outs, kernel, stride, padding, spare }) => {
    const input = kernel.map((k, i) => Math.max(1, k + (spare[i] ?? 0) - (padding[i] ?? 0) - (padding[i + 2] ?? 0)))
    const window = { stride, padding }
    return {
      window,
      kernel,
      size: input,
      x: [batch, channels, ...input],
      weight: [outs, channels, ...kernel],
      y: [batch, outs, ...convOutputSize(input, kernel, window)],
    }
  })

const channelled = fc
  .record({ batch: extent, groups: extent, perGroup: extent, rest: shapeOf(0, 2), eps: either(1e-5, 0.125) })
  .map(({ batch, groups, perGroup, rest, eps }) => ({
    attributes: { groups, eps },
    x: real([batch, groups * perGroup, ...rest], distinct),
    perChannel: real([groups * perGroup], bounded),
  }))
const normalised = channelled.map(({ attributes, x }) => ({ attributes, operands: [x] }))

const leaf = <A>(attributes: (shape: Shape) => A) =>
  shapeOf(0).map((shape) => ({ attributes: attributes(shape), operands: [] }))

const castable: { readonly [D in DType]: Domain } = {
  float32: betweenWhole,
  float16: betweenWhole,
  bfloat16: betweenWhole,
  int32: integer,
  bool: truth,
}

/** Half precision is met in its own laws: its steps are too wide for difference quotients. */
const wide = dtypes.filter((d) => !isHalf(d))

/** Well-typed applications of every op. */
export const applications: { readonly [K in OpKind]: Applications<K> } = {
  // one name for one shape, so that composed graphs meet their leaves again
  input: leaf((shape) => ({ name: `input ${shape.join('x')}`, type: float(...shape), meaning: null })),
  parameter: leaf((shape) => ({
    name: `parameter.${shape.join('x')}`,
    shape,
    init: { kind: 'zeros' },
    trainable: true,
  })),
  noise: leaf((shape) => ({ name: `noise ${shape.join('x')}`, shape, distribution: 'normal' })),
  constant: fc
    .tuple(
      shapeOf(0),
      fc.constantFrom<readonly [DType, Domain]>(
        ['float32', any],
        ['float32', whole],
        ['int32', integer],
        ['bool', truth],
      ),
      fc.boolean(),
    )
    .chain(([shape, [dtype, domain], single]) =>
      domain
        .draw(single ? 1 : size(shape))
        .map((data) => ({ attributes: { type: { dtype, shape }, data }, operands: [] })),
    ),

  neg: unary(['float32', any], ['int32', integer]),
  abs: unary(['float32', apart], ['int32', integer]),
  sign: unary(['float32', apart], ['int32', integer]),
  exp: unary(['float32', bounded]),
  log: unary(['float32', positive]),
  sqrt: unary(['float32', positive]),
  tanh: smooth,
  sigmoid: smooth,
  erf: smooth,
  sin: unary(['float32', bounded]),
  cos: unary(['float32', bounded]),
  floor: unary(['float32', betweenWhole]),
  silu: smooth,
  cast: fc
    .tuple(shapeOf(0), fc.constantFrom(...wide), fc.constantFrom(...wide))
    .map(([shape, from, to]) => ({ attributes: { to }, operands: [operand(from, shape, castable[from])] })),
  stopGradient: smooth,
  recompute: smooth,
  barrier: fc.tuple(shapeOf(0), shapeOf(0)).map(([a, b]) => ({ attributes: {}, operands: [real(a), real(b)] })),
  mark: fc
    .tuple(shapeOf(0), fc.option(fc.constantFrom(...meanings)), fc.option(fc.constantFrom(...meanings)))
    .map(([shape, claims, expects]) => ({ attributes: { claims, expects }, operands: [real(shape)] })),

  add: additive,
  sub: additive,
  mul: binary(['float32', any, bounded], ['float32', bounded, any], ['int32', integer, smallInteger]),
  div: binary(['float32', any, apart], ['int32', integer, divisor]),
  maximum: extremum,
  minimum: extremum,
  equal: comparison,
  less: comparison,
  select: fc.tuple(shapeOf(0), either<DType>('float32', 'int32')).chain(([shape, dtype]) =>
    fc.tuple(pairOf(shape), broadcastableTo(shape)).map(([[a, b], condition]) => ({
      attributes: {},
      operands: [operand('bool', condition, truth), operand(dtype, a, kinds[dtype]), operand(dtype, b, kinds[dtype])],
    })),
  ),

  sum: reduction(any),
  reduceMax: reduction(distinct),
  argMax: along(distinct, whole),
  argMin: along(distinct, whole),
  softmax: along(any),

  matmul: fc
    .record({
      batch: shapeOf(0, 2).chain(pairOf),
      inner: fc.tuple(extent, extent, extent),
      transposeA: fc.boolean(),
      transposeB: fc.boolean(),
    })
    .map(({ batch: [left, right], inner: [m, k, n], transposeA, transposeB }) => ({
      attributes: { transposeA, transposeB },
      operands: [
        real([...left, ...(transposeA ? [k, m] : [m, k])]),
        real([...right, ...(transposeB ? [n, k] : [k, n])], bounded),
      ],
    })),
  conv2d: convolution.map(({ window, x, weight }) => ({
    attributes: window,
    operands: [real(x), real(weight, bounded)],
  })),
  convInputGrad: convolution.map(({ window, size: extents, y, weight }) => ({
    attributes: { ...window, size: extents },
    operands: [real(y), real(weight, bounded)],
  })),
  convWeightGrad: convolution.map(({ window, kernel, x, y }) => ({
    attributes: { ...window, kernel },
    operands: [real(x), real(y, bounded)],
  })),

  reshape: shapeOf(0).chain((shape) =>
    fc
      .constantFrom<Shape>(
        [size(shape)],
        [1, ...shape],
        shape.toReversed(),
        shape.filter((d) => d !== 1),
      )
      .map((to) => ({ attributes: { shape: to }, operands: [real(shape)] })),
  ),
  transpose: shapeOf(0, 4).chain((shape) =>
    permutationOf(shape).map((permutation) => ({ attributes: { permutation }, operands: [real(shape)] })),
  ),
  slice: shapeOf(0).chain((shape) =>
    perAxis(shape, (d) =>
      fc
        .integer({ min: 0, max: d - 1 })
        .chain((from) => fc.tuple(fc.constant(from), fc.integer({ min: 1, max: d - from }))),
    ).map((parts) => ({
      attributes: { start: parts.map(([from]) => from), size: parts.map(([, length]) => length) },
      operands: [real(shape)],
    })),
  ),
  pad: shapeOf(0).chain((shape) =>
    fc
      .tuple(
        perAxis(shape, () => fc.nat(2)),
        perAxis(shape, () => fc.nat(2)),
      )
      .map(([low, high]) => ({ attributes: { low, high }, operands: [real(shape)] })),
  ),
  concat: fc
    .tuple(shapeOf(1), fc.array(extent, { minLength: 1, maxLength: 3 }), either<DType>('float32', 'int32'))
    .chain(([shape, extents, dtype]) =>
      axisOf(shape).map((axis) => ({
        attributes: { axis },
        operands: extents.map((d) => operand(dtype, shape.with(axis, d), kinds[dtype])),
      })),
    ),
  broadcast: shapeOf(0).chain((shape) =>
    broadcastableTo(shape).map((from) => ({ attributes: { shape }, operands: [real(from)] })),
  ),
  gather: fc.tuple(shapeOf(1), shapeOf(0, 2), either<DType>('float32', 'int32')).map(([table, indices, dtype]) => ({
    attributes: {},
    operands: [operand(dtype, table, kinds[dtype]), { type: int(...indices), domain: below(table[0] ?? 1) }],
  })),
  scatterAdd: fc
    .tuple(extent, shapeOf(0, 2), shapeOf(0, 2), either<DType>('float32', 'int32'))
    .map(([rows, indices, rest, dtype]) => ({
      attributes: { rows },
      operands: [{ type: int(...indices), domain: below(rows) }, operand(dtype, [...indices, ...rest], kinds[dtype])],
    })),
  upsampleNearest: fc
    .tuple(shapeOf(4, 4), extent, extent)
    .map(([shape, down, right]) => ({ attributes: { factor: [down, right] }, operands: [real(shape)] })),
  maxPool: fc.tuple(shapeOf(4, 4), extent, extent).map(([[n = 1, c = 1, h = 1, w = 1], down, right]) => ({
    attributes: { factor: [down, right] },
    operands: [real([n, c, h * down, w * right], distinct)],
  })),

  groupNorm: channelled.map(({ attributes, x, perChannel }) => ({
    attributes,
    operands: [x, perChannel, perChannel],
  })),
  standardize: normalised,
  groupRstd: normalised,
}
