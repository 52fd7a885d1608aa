import { roundings } from '../../graph/half.ts'
import { type ElementwiseOp, each, families } from '../../graph/ops.ts'
import type { DType } from '../../graph/types.ts'
import { type Dense, get, type Kernels, operand, spread, total } from './dense.ts'
import { erf } from './erf.ts'

const unary = (f: (x: number) => number) => total((_: object, xs: readonly Dense[]) => operand(xs, 0).data.map(f))

/** int32 results wrap to 32 bits. */
const wrapped =
  (f: (x: number) => number) =>
  (x: number): number =>
    f(x) | 0
const numericUnary = (f: (x: number) => number) =>
  total((_: object, xs: readonly Dense[]) => {
    const { type, data } = operand(xs, 0)
    return data.map(type.dtype === 'int32' ? wrapped(f) : f)
  })

type Binary = (a: number, b: number) => number
const zip = (a: Float64Array, b: Float64Array, f: Binary): Float64Array => a.map((x, i) => f(x, get(b, i)))
/** By the operands' dtype: on float32, and on int32, where quotients are cut towards 0 and everything wraps. */
const binary = (float: Binary, int: Binary = (a, b) => float(a, b) | 0) =>
  total((_: object, xs: readonly Dense[], { shape }) => {
    const [a, b] = [operand(xs, 0), operand(xs, 1)]
    return zip(spread(a, shape), spread(b, shape), a.type.dtype === 'int32' ? int : float)
  })

const casts: { readonly [D in DType]: (x: number) => number } = {
  float32: (x) => x,
  ...roundings,
  int32: (x) => x | 0,
  bool: (x) => (x === 0 ? 0 : 1),
}
const identity = total((_: object, xs: readonly Dense[]) => operand(xs, 0).data)
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

export const elementwise: Kernels<ElementwiseOp> = {
  neg: numericUnary((x) => -x),
  abs: numericUnary(Math.abs),
  sign: numericUnary(Math.sign),
  exp: unary(Math.exp),
  log: unary(Math.log),
  sqrt: unary(Math.sqrt),
  tanh: unary(Math.tanh),
  sigmoid: unary(sigmoid),
  erf: unary(erf),
  sin: unary(Math.sin),
  cos: unary(Math.cos),
  floor: unary(Math.floor),
  silu: unary((x) => x * sigmoid(x)),
  cast: ({ to }, xs) => unary(casts[to])({}, xs, operand(xs, 0).type),
  ...each(families.identity, identity),
  add: binary((a, b) => a + b),
  sub: binary((a, b) => a - b),
  mul: binary((a, b) => a * b, Math.imul),
  div: binary((a, b) => a / b),
  maximum: binary(Math.max),
  minimum: binary(Math.min),
  equal: binary((a, b) => Number(a === b)),
  less: binary((a, b) => Number(a < b)),
  select: total((_, xs, { shape }) => {
    const [whenTrue, whenFalse] = [spread(operand(xs, 1), shape), spread(operand(xs, 2), shape)]
    return spread(operand(xs, 0), shape).map((c, i) => get(c === 0 ? whenFalse : whenTrue, i))
  }),
}
