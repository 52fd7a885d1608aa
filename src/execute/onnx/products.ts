import type { Attributes } from '../../graph/ops.ts'
import type { Shape } from '../../graph/types.ts'
import { type Device, type LoweringTable, operand, shapeOf, valueAt } from './lowering.ts'
import { call, cast, int, int64s, reduceSum, transpose, type Value } from './value.ts'

/** a b over the last two axes; ONNX Runtime's WebGPU provider has no FusedMatMul. */
export const product = (
  device: Device,
  [a, aShape]: readonly [Value, Shape],
  [b, bShape]: readonly [Value, Shape],
  { transposeA = false, transposeB = false }: Partial<Attributes['matmul']>,
): Value =>
  !transposeA && !transposeB
    ? call('MatMul', [a, b])
    : device === 'cpu'
      ? call(
          'FusedMatMul',
          [a, b],
          { transA: int(transposeA ? 1 : 0), transB: int(transposeB ? 1 : 0) },
          'com.microsoft',
        )
      : call('MatMul', [transposeA ? swapLast(a, aShape) : a, transposeB ? swapLast(b, bShape) : b])

const swapLast = (x: Value, { length }: Shape): Value =>
  transpose(x, [...Array.from({ length: length - 2 }, (_, i) => i), length - 1, length - 2])

const argument = (op: 'ArgMax' | 'ArgMin', x: Value, axis: number): Value =>
  cast(call(op, [x], { axis: int(axis), keepdims: int(0) }), 'int32')

type Products = Pick<LoweringTable, 'sum' | 'reduceMax' | 'argMax' | 'argMin' | 'softmax' | 'matmul'>
export const productLowerings: Products = {
  sum: (site) => reduceSum(valueAt(site, 0), site.node.attributes.axes, site.node.attributes.keepDims),
  reduceMax: (site) => {
    const { axes, keepDims } = site.node.attributes
    return axes.length === 0
      ? valueAt(site, 0)
      : call('ReduceMax', [valueAt(site, 0), int64s(axes)], { keepdims: int(keepDims ? 1 : 0) })
  },
  argMax: (site) => argument('ArgMax', valueAt(site, 0), site.node.attributes.axis),
  argMin: (site) => argument('ArgMin', valueAt(site, 0), site.node.attributes.axis),
  softmax: (site) => call('Softmax', [valueAt(site, 0)], { axis: int(site.node.attributes.axis) }),
  matmul: (site) =>
    product(
      site.target.device,
      [valueAt(site, 0), shapeOf(operand(site, 0))],
      [valueAt(site, 1), shapeOf(operand(site, 1))],
      site.node.attributes,
    ),
}
