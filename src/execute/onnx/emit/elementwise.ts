import { type ElementwiseOp, each, families } from '../../../graph/ops.ts'
import { type Shape, size } from '../../../graph/types.ts'
import type { CallKind } from '../calls.ts'
import { arrayOf, call, cast, concat, filledWith, float, int, int64s, reshape, scalar, type Value } from '../value.ts'
import { asOften, type Emit, type EmitTable, kernelsOf, type Site, valueAt } from './emit.ts'
import { cos, exp, sin } from './functions.ts'

const unary =
  (op: string): Emit<CallKind> =>
  (site) =>
    call(op, [valueAt(site, 0)])

/** ONNX Runtime broadcasts a scalar slowly over trailing axes of length 1: such arrays are viewed as vectors. */
const elementwise =
  (op: string): Emit<CallKind> =>
  ({ call: { type, operands }, values }) => {
    const sizes = operands.map((o) => size(o.type.shape))
    const whole = size(type.shape)
    const isFlat =
      type.shape.length > 1 &&
      type.shape.at(-1) === 1 &&
      sizes.includes(1) &&
      sizes.every((n) => n === 1 || n === whole)
    return isFlat
      ? reshape(
          call(
            op,
            values.map((x, i) => reshape(x, sizes[i] === 1 ? [] : [whole])),
          ),
          type.shape,
        )
      : call(op, values)
  }

/** ONNX Runtime's WebGPU provider has no Neg and no Abs for int32. */
const negative = (site: Site<'neg' | 'abs'>): Value => {
  const [x, { dtype }] = [valueAt(site, 0), site.call.type]
  return kernelsOf(site).signs || dtype !== 'int32' ? call('Neg', [x]) : call('Sub', [scalar(dtype, 0), x])
}
const abs: Emit<'abs'> = (site) => {
  const x = valueAt(site, 0)
  return kernelsOf(site).signs || site.call.type.dtype !== 'int32' ? call('Abs', [x]) : call('Max', [x, negative(site)])
}

/** ONNX Runtime's WebGPU provider has no Sign. */
const sign: Emit<'sign'> = (site) => {
  const { dtype } = site.call.type
  const [x, zero] = [valueAt(site, 0), scalar(dtype, 0)]
  return kernelsOf(site).signs
    ? call('Sign', [x])
    : call('Sub', [cast(call('Less', [zero, x]), dtype), cast(call('Less', [x, zero]), dtype)])
}

const where = elementwise('Where')
/** ONNX Runtime has no Where for bools. */
const select: Emit<'select'> = (site) => {
  if (site.call.type.dtype !== 'bool') return where(site)
  const [condition, a, b] = [valueAt(site, 0), valueAt(site, 1), valueAt(site, 2)]
  return call('Or', [call('And', [condition, a]), call('And', [call('Not', [condition]), b])])
}

const constant = ({ call: { attributes, type } }: Site<'constant'>): Value => {
  const [first = 0, ...rest] = attributes.data
  return rest.length > 0 ? arrayOf(type.dtype, type.shape, attributes.data) : filledWith(type.dtype, type.shape, first)
}

/**
 * The same array behind another one: its shape waits for that one's, of which it takes no axis. The runtime shares the memory of a
 * reshaped array, so this costs three nodes and no copy.
 */
const heldBack = (x: Value, until: Value, shape: Shape): Value =>
  call('Reshape', [x, concat(0, [call('Shape', [until], { start: int(0), end: int(0) }), int64s(shape)])])

/** QuickGelu(x) = x sigmoid(alpha x) */
const silu: Emit<'silu'> = (site) => {
  const x = valueAt(site, 0)
  return asOften(
    site.call,
    kernelsOf(site).quickGelu
      ? call('QuickGelu', [x], { alpha: float(1) }, 'com.microsoft')
      : call('Mul', [x, call('Sigmoid', [x])]),
  )
}

export const elementwiseEmits: Pick<EmitTable, ElementwiseOp | 'constant' | 'relu'> = {
  constant,
  neg: negative,
  abs,
  sign,
  exp,
  log: unary('Log'),
  sqrt: unary('Sqrt'),
  tanh: unary('Tanh'),
  sigmoid: unary('Sigmoid'),
  erf: unary('Erf'),
  sin,
  cos,
  floor: unary('Floor'),
  silu,
  cast: (site) => cast(valueAt(site, 0), site.call.attributes.to),
  ...each(families.identity, (site: Site<CallKind>) => valueAt(site, 0)),
  barrier: (site) => heldBack(valueAt(site, 0), valueAt(site, 1), site.call.type.shape),
  add: elementwise('Add'),
  sub: elementwise('Sub'),
  mul: elementwise('Mul'),
  div: elementwise('Div'),
  maximum: elementwise('Max'),
  minimum: elementwise('Min'),
  equal: elementwise('Equal'),
  less: elementwise('Less'),
  select,
  relu: unary('Relu'),
}
