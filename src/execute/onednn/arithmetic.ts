import { roundings } from '../../graph/half.ts'
import { type Attributes, type ElementwiseOp, each, families } from '../../graph/ops.ts'
import { type DType, isHalf, type Shape, size } from '../../graph/types.ts'
import type { Draft } from './draft.ts'
import { apply, type Expression, float, kindOf, type LoopOp, load, loadsOf, spreadTo, whole } from './expression.ts'
import { erf, exponential, sigmoid, sign, signInt, silu } from './functions.ts'
import type { Lowerings, Operand, Operands } from './lowering.ts'
import { touched } from './view.ts'

const dtypeOf = ({ type }: Operand): DType => type.dtype
const isInt = (x: Operand): boolean => kindOf(dtypeOf(x)) === 'int'

/** Whether an expression is computed once, whatever it is repeated over. */
const isSingle = (e: Expression): boolean => loadsOf([e]).every((v) => touched(v) <= 1)

/** An operand under the shape of the result; what is repeated is computed before. */
export const repeated = (draft: Draft, { value, type }: Operand, shape: Shape): Expression =>
  value.kind === 'apply' && size(type.shape) < size(shape) && !isSingle(value)
    ? spreadTo(load(draft.store(value, type.shape)), shape)
    : spreadTo(value, shape)

type Unary = (x: Expression) => Expression
const one =
  (float: Unary, int: Unary = float) =>
  (_: object, [x]: Operands): Expression =>
    (isInt(x) ? int : float)(x.value)
const of =
  (op: LoopOp): Unary =>
  (x) =>
    apply(op, x)
const two =
  (float: LoopOp, int: LoopOp) =>
  (_: object, [a, b]: Operands, { shape }: { readonly shape: Shape }, draft: Draft): Expression =>
    apply(isInt(a) ? int : float, repeated(draft, a, shape), repeated(draft, b, shape))

const casts: { readonly [D in DType]: (x: Operand) => Expression } = {
  float32: (x) => (isInt(x) ? apply('toFloat', x.value) : x.value),
  float16: (x) => apply('float16', isInt(x) ? apply('toFloat', x.value) : x.value),
  bfloat16: (x) => apply('bfloat16', isInt(x) ? apply('toFloat', x.value) : x.value),
  int32: (x) => (isInt(x) ? x.value : apply('truncated', x.value)),
  bool: (x) => apply(isInt(x) ? 'isTrueInt' : 'isTrue', x.value),
}

const same = (_: object, [x]: Operands): Expression => x.value

export const constantOf = ({ type, data }: Attributes['constant']): Expression | undefined => {
  const [first = 0] = data
  const value = isHalf(type.dtype) ? roundings[type.dtype](first) : first
  return data.length === 1 ? (kindOf(type.dtype) === 'float' ? float(value) : whole(value)) : undefined
}

/** Ops on one element after another; nothing is computed before it is known what reads it. */
export const arithmetic: Lowerings<ElementwiseOp> = {
  neg: one(of('neg'), of('negInt')),
  abs: one(of('abs'), of('absInt')),
  sign: one(sign, signInt),
  exp: one(exponential),
  log: one(of('log')),
  sqrt: one(of('sqrt')),
  tanh: one(of('tanh')),
  sigmoid: one(sigmoid),
  erf: one(erf),
  sin: one(of('sin')),
  cos: one(of('cos')),
  floor: one(of('floor')),
  silu: one(silu),
  cast: ({ to }, [x]) => casts[to](x),
  ...each(families.identity, same),
  add: two('add', 'addInt'),
  sub: two('sub', 'subInt'),
  mul: two('mul', 'mulInt'),
  div: two('div', 'quotient'),
  maximum: two('max', 'maxInt'),
  minimum: two('min', 'minInt'),
  equal: two('equal', 'equalInt'),
  less: two('less', 'lessInt'),
  select: (_, [c, a, b], { shape }, draft) =>
    apply('select', repeated(draft, c, shape), repeated(draft, a, shape), repeated(draft, b, shape)),
}
