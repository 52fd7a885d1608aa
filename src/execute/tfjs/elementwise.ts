import { type ElementwiseOp, each, families, type OpKind } from '../../graph/ops.ts'
import { sameShape, size } from '../../graph/types.ts'
import { binary, comparison, unary } from './arithmetic.ts'
import { cosine, exponential, sine } from './functions.ts'
import type { Kernel } from './kernel.ts'
import { type Lowering, type LoweringTable, operand, type Site } from './lowering.ts'
import { broadcast, call, cast, constant, dtypeOf, scalar, shapeOf, type Value } from './value.ts'

const one =
  (kernel: Kernel) =>
  <K extends OpKind>(site: Site<K>): Value =>
    unary(kernel, operand(site, 0))
const two =
  (make: (a: Value, b: Value) => Value) =>
  <K extends OpKind>(site: Site<K>): Value =>
    make(operand(site, 0), operand(site, 1))
const arithmetic = (kernel: Parameters<typeof binary>[0]) => two((a, b) => binary(kernel, a, b))
const alias = <K extends OpKind>(site: Site<K>): Value => operand(site, 0)

/** Kernels of one operand know float32 on every backend, int32 on some. */
const byDType =
  (float: (x: Value) => Value, int: (x: Value) => Value) =>
  <K extends OpKind>(site: Site<K>): Value =>
    dtypeOf(operand(site, 0)) === 'int32' ? int(operand(site, 0)) : float(operand(site, 0))
const negated = (x: Value): Value => binary('Sub', scalar('int32', 0), x)
const magnitude = (x: Value): Value => binary('Maximum', x, negated(x))
/** [0 < x] - [x < 0], for backends differ on the sign of NaN and of integers. */
const signOf = (x: Value): Value => {
  const zero = scalar(dtypeOf(x), 0)
  return binary('Sub', cast(comparison('Less', zero, x), dtypeOf(x)), cast(comparison('Less', x, zero), dtypeOf(x)))
}
/** FloorDiv rounds down; quotients of integers are cut towards 0. */
const quotient = (a: Value, b: Value): Value =>
  binary('Multiply', binary('Multiply', signOf(a), signOf(b)), binary('FloorDiv', magnitude(a), magnitude(b)))

/** Where the backend's own function is not good to float32's last places, one made of arithmetic. */
const precisely =
  (kernel: Kernel, made: (x: Value) => Value) =>
  <K extends OpKind>(site: Site<K>): Value =>
    site.target.preciseFunctions ? unary(kernel, operand(site, 0)) : made(operand(site, 0))

const isNumber = ({ kind, type }: Value): boolean =>
  kind === 'constant' && type.dtype === 'float32' && size(type.shape) === 1
/** c a + (1 - c) b, for the kernel takes no single numbers; constants are finite. */
const chosenNumber = (condition: Value, a: Value, b: Value): Value => {
  const c = cast(condition, 'float32')
  return binary('Add', binary('Multiply', c, a), binary('Multiply', binary('Sub', scalar('float32', 1), c), b))
}
const select: Lowering<'select'> = (site) => {
  const { type } = site.node
  const [condition, a, b] = [operand(site, 0), operand(site, 1), operand(site, 2)]
  if (isNumber(a) && isNumber(b) && sameShape(shapeOf(condition), type.shape)) return chosenNumber(condition, a, b)
  return call(
    'Select',
    site.operands.map((x) => broadcast(x, type.shape)),
    type,
  )
}

export const elementwiseLowerings: Pick<LoweringTable, ElementwiseOp | 'constant'> = {
  constant: ({ node: { attributes } }) => constant(attributes.type, attributes.data),
  neg: byDType((x) => unary('Neg', x), negated),
  abs: byDType((x) => unary('Abs', x), magnitude),
  sign: byDType(signOf, signOf),
  exp: precisely('Exp', exponential),
  log: one('Log'),
  sqrt: one('Sqrt'),
  tanh: one('Tanh'),
  sigmoid: one('Sigmoid'),
  erf: one('Erf'),
  sin: precisely('Sin', sine),
  cos: precisely('Cos', cosine),
  floor: one('Floor'),
  /** Rounded once where it is in half precision. */
  silu: (site) => {
    const x = cast(operand(site, 0), 'float32')
    return cast(binary('Multiply', x, unary('Sigmoid', x)), site.node.type.dtype)
  },
  /** Anything but 0 is true, which a cast to bool does not say on every backend. */
  cast: (site) => {
    const [x, { to }] = [operand(site, 0), site.node.attributes]
    return to === 'bool' && dtypeOf(x) !== 'bool' ? comparison('NotEqual', x, scalar(dtypeOf(x), 0)) : cast(x, to)
  },
  ...each(families.identity, alias),
  add: arithmetic('Add'),
  sub: arithmetic('Sub'),
  mul: arithmetic('Multiply'),
  div: two((a, b) => (dtypeOf(a) === 'int32' ? quotient(a, b) : binary('RealDiv', a, b))),
  maximum: arithmetic('Maximum'),
  minimum: arithmetic('Minimum'),
  equal: two((a, b) => comparison('Equal', a, b)),
  less: two((a, b) => comparison('Less', a, b)),
  select,
}
