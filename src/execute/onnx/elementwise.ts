import type { OpKind } from '../../graph/ops.ts'
import { broadcastShapes, type Shape, sameShape, size } from '../../graph/types.ts'
import { rectified } from './blocked.ts'
import { convolveWithBias } from './convolution.ts'
import { cos, exp, sin } from './functions.ts'
import {
  isLowered,
  kernelsOf,
  type Lowered,
  type Lowering,
  type LoweringTable,
  operand,
  type Site,
  shapeOf,
  valueAt,
} from './lowering.ts'
import { computedAnew, heldBack } from './recompute.ts'
import { arrayOf, call, cast, filledWith, float, reshape, scalar, type Value } from './value.ts'

const unary =
  (op: string): Lowering<OpKind> =>
  (site) =>
    call(op, [valueAt(site, 0)])

interface Shaped {
  readonly value: Value
  readonly shape: Shape
}
/** What an operand was broadcast or filled from. */
const narrow = (x: Lowered): Shaped => {
  const source = isLowered('broadcast')(x) ? x.operands[0] : undefined
  if (source !== undefined) return narrow(source)
  return isLowered('constant')(x) && x.node.attributes.data.length === 1
    ? { value: arrayOf(x.node.type.dtype, [], x.node.attributes.data), shape: [] }
    : { value: x.value, shape: shapeOf(x) }
}
const shaped = (x: Lowered): Shaped => ({ value: x.value, shape: shapeOf(x) })
/** Operands as small as broadcasting allows while the result keeps its shape. */
const narrowed = (operands: readonly Lowered[], result: Shape): readonly Shaped[] =>
  operands.reduce<readonly Shaped[]>((chosen, x, i) => {
    const trial = operands.map((y, j) => (j === i ? narrow(x) : (chosen[j] ?? shaped(y))))
    const joint = trial.reduce<Shape | undefined>((s, y) => s && broadcastShapes(s, y.shape), [])
    return joint !== undefined && sameShape(joint, result) ? trial : chosen
  }, operands.map(shaped))

/** ONNX Runtime broadcasts a scalar slowly over trailing axes of length 1: such arrays are viewed as vectors. */
const elementwise = (op: string, operands: readonly Lowered[], result: Shape): Value => {
  const narrow = narrowed(operands, result)
  const whole = size(result)
  const flat =
    result.length > 1 &&
    result.at(-1) === 1 &&
    narrow.some((x) => size(x.shape) === 1) &&
    narrow.every((x) => size(x.shape) === 1 || size(x.shape) === whole)
  return flat
    ? reshape(
        call(
          op,
          narrow.map((x) => reshape(x.value, size(x.shape) === 1 ? [] : [whole])),
        ),
        result,
      )
    : call(
        op,
        narrow.map((x) => x.value),
      )
}
const nary =
  (op: string): Lowering<OpKind> =>
  ({ node, operands }) =>
    elementwise(op, operands, node.type.shape)

const isZero = (x: Lowered): boolean => isLowered('constant')(x) && x.node.attributes.data.every((d) => d === 0)

/** A convolution takes a bias of one number a channel along. */
const add: Lowering<'add'> = (site) => convolveWithBias(site) ?? elementwise('Add', site.operands, site.node.type.shape)

/** ReLU as a convolution's last step, where nothing else reads the convolution or a view of it. */
const fusedRelu = (x: Lowered): Value | undefined =>
  x.uses === 1 && (isLowered('conv2d')(x) || isLowered('add')(x)) ? rectified(x.value) : undefined

const maximum: Lowering<'maximum'> = ({ node, operands }) => {
  const kept = operands.filter((x) => !isZero(x))
  const [x, other] = kept
  return x !== undefined &&
    other === undefined &&
    node.type.dtype === 'float32' &&
    sameShape(shapeOf(x), node.type.shape)
    ? (fusedRelu(x) ?? call('Relu', [x.value]))
    : elementwise('Max', operands, node.type.shape)
}

/** ONNX Runtime's WebGPU provider has no Neg and no Abs for int32. */
const negative = (site: Site<'neg' | 'abs'>): Value => {
  const [x, { dtype }] = [valueAt(site, 0), site.node.type]
  return kernelsOf(site).signs || dtype !== 'int32' ? call('Neg', [x]) : call('Sub', [scalar(dtype, 0), x])
}
const abs: Lowering<'abs'> = (site) => {
  const x = valueAt(site, 0)
  return kernelsOf(site).signs || site.node.type.dtype !== 'int32' ? call('Abs', [x]) : call('Max', [x, negative(site)])
}

/** ONNX Runtime's WebGPU provider has no Sign. */
const sign: Lowering<'sign'> = (site) => {
  const { dtype } = site.node.type
  const [x, zero] = [valueAt(site, 0), scalar(dtype, 0)]
  return kernelsOf(site).signs
    ? call('Sign', [x])
    : call('Sub', [cast(call('Less', [zero, x]), dtype), cast(call('Less', [x, zero]), dtype)])
}

/** ONNX Runtime has no Where for bools. */
const select: Lowering<'select'> = (site) => {
  const { dtype, shape } = site.node.type
  if (dtype !== 'bool') return elementwise('Where', site.operands, shape)
  const [condition, a, b] = [valueAt(site, 0), valueAt(site, 1), valueAt(site, 2)]
  return call('Or', [call('And', [condition, a]), call('And', [call('Not', [condition]), b])])
}

const constant = ({ node: { attributes, type } }: Site<'constant'>): Value => {
  const [first = 0, ...rest] = attributes.data
  return rest.length > 0 ? arrayOf(type.dtype, type.shape, attributes.data) : filledWith(type.dtype, type.shape, first)
}

type Elementwise = Pick<
  LoweringTable,
  | 'constant'
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
  | 'cast'
  | 'stopGradient'
  | 'mark'
  | 'recompute'
  | 'barrier'
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'maximum'
  | 'minimum'
  | 'equal'
  | 'less'
  | 'select'
>
export const elementwiseLowerings: Elementwise = {
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
  /** QuickGelu(x) = x sigmoid(alpha x) */
  silu: (site) => call('QuickGelu', [valueAt(site, 0)], { alpha: float(1) }, 'com.microsoft'),
  cast: (site) => cast(valueAt(site, 0), site.node.attributes.to),
  stopGradient: (site) => valueAt(site, 0),
  mark: (site) => valueAt(site, 0),
  recompute: (site) => computedAnew(operand(site, 0)),
  barrier: (site) => heldBack(valueAt(site, 0), valueAt(site, 1), site.node.type.shape),
  add,
  sub: nary('Sub'),
  mul: nary('Mul'),
  div: nary('Div'),
  maximum,
  minimum: nary('Min'),
  equal: nary('Equal'),
  less: nary('Less'),
  select,
}
