import type { Attributes } from '../../graph/ops.ts'
import type { Shape } from '../../graph/types.ts'
import { attention } from './attention.ts'
import { type Device, kernels } from './devices.ts'
import { kernelsOf, type LoweringTable, operand, type Site, shapeOf, valueAt } from './lowering.ts'
import { call, cast, floats, int, int64s, reduceSum, scalar, swapLast, type Value } from './value.ts'

/** a b over the last two axes; ONNX Runtime's WebGPU provider has no FusedMatMul. */
export const product = (
  device: Device,
  [a, aShape]: readonly [Value, Shape],
  [b, bShape]: readonly [Value, Shape],
  { transposeA = false, transposeB = false }: Partial<Attributes['matmul']>,
): Value =>
  !transposeA && !transposeB
    ? call('MatMul', [a, b])
    : kernels[device].fusedMatMul
      ? call(
          'FusedMatMul',
          [a, b],
          { transA: int(transposeA ? 1 : 0), transB: int(transposeB ? 1 : 0) },
          'com.microsoft',
        )
      : call('MatMul', [transposeA ? swapLast(a, aShape) : a, transposeB ? swapLast(b, bShape) : b])

type Extremum = 'Max' | 'Min'
/**
 * The index of the first greatest or least element. ONNX Runtime's own is of 64 bits, which its WebGPU provider cannot
 * narrow: there it is the least index that holds the extremum, the last one where a row is not a number.
 */
const argument = (which: Extremum, site: Site<'argMax' | 'argMin'>): Value => {
  const [x, { axis }] = [operand(site, 0), site.node.attributes]
  if (kernelsOf(site).arguments)
    return cast(call(`Arg${which}`, [x.value], { axis: int(axis), keepdims: int(0) }), 'int32')
  const { dtype, shape } = x.node.type
  const length = shape[axis] ?? 1
  const value = dtype === 'bool' ? cast(x.value, 'int32') : x.value
  const best = call(`Reduce${which}`, [value, int64s([axis])], { keepdims: int(1) })
  const index = floats(
    shape.map((d, i) => (i === axis ? d : 1)),
    Array.from({ length }, (_, i) => i),
  )
  const holds = call('Where', [call('Equal', [value, best]), index, scalar('float32', length - 1)])
  return cast(call('ReduceMin', [holds, int64s([axis])], { keepdims: int(0) }), 'int32')
}

type Products = Pick<LoweringTable, 'sum' | 'reduceMax' | 'argMax' | 'argMin' | 'softmax' | 'matmul'>
export const productLowerings: Products = {
  sum: (site) => reduceSum(valueAt(site, 0), site.node.attributes.axes, site.node.attributes.keepDims),
  reduceMax: (site) => {
    const { axes, keepDims } = site.node.attributes
    return axes.length === 0
      ? valueAt(site, 0)
      : call('ReduceMax', [valueAt(site, 0), int64s(axes)], { keepdims: int(keepDims ? 1 : 0) })
  },
  argMax: (site) => argument('Max', site),
  argMin: (site) => argument('Min', site),
  softmax: (site) => call('Softmax', [valueAt(site, 0)], { axis: int(site.node.attributes.axis) }),
  matmul: (site) =>
    attention(site) ??
    product(
      site.target.device,
      [valueAt(site, 0), shapeOf(operand(site, 0))],
      [valueAt(site, 1), shapeOf(operand(site, 1))],
      site.node.attributes,
    ),
}
