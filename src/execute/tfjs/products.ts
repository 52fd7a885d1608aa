import type { Attributes, OpOf } from '../../graph/ops.ts'
import { type Shape, size } from '../../graph/types.ts'
import { type LoweringTable, operand } from './lowering.ts'
import { broadcast, call, dtypeOf, reshape, shapeOf, sum, transpose, type Value } from './value.ts'

/** [batch, rows, columns], or one matrix for all of the batch, as the kernel takes it. */
const batched = (x: Value, batch: Shape): Value => {
  const [own, matrix] = [shapeOf(x).slice(0, -2), shapeOf(x).slice(-2)]
  const whole = size(own) === 1 || size(own) === size(batch) ? x : broadcast(x, [...batch, ...matrix])
  return reshape(whole, [size(own) === 1 ? 1 : size(batch), ...matrix])
}
/** a b over the last two axes. */
export const product = (
  a: Value,
  b: Value,
  shape: Shape,
  { transposeA = false, transposeB = false }: Partial<Attributes['matmul']> = {},
): Value => {
  const [batch, matrix] = [shape.slice(0, -2), shape.slice(-2)]
  const made = call(
    'BatchMatMul',
    [batched(a, batch), batched(b, batch)],
    { dtype: dtypeOf(a), shape: [size(batch), ...matrix] },
    { transposeA, transposeB },
  )
  return reshape(made, shape)
}

/** Of a vector WebGPU's kernel makes a vector, so a vector is a row. */
const argument = (kernel: 'ArgMax' | 'ArgMin', x: Value, axis: number, shape: Shape): Value =>
  shapeOf(x).length === 1
    ? reshape(argument(kernel, reshape(x, [1, ...shapeOf(x)]), 1, [1]), shape)
    : call(kernel, [x], { dtype: 'int32', shape }, { axis })

type Products = Pick<LoweringTable, OpOf<'reduction' | 'product'>>
export const productLowerings: Products = {
  sum: (site) => reshape(sum(operand(site, 0), site.node.attributes.axes), site.node.type.shape),
  reduceMax: (site) => {
    const [x, { axes }] = [operand(site, 0), site.node.attributes]
    const kept = shapeOf(x).map((d, i) => (axes.includes(i) ? 1 : d))
    return axes.length === 0
      ? x
      : reshape(
          call('Max', [x], { ...x.type, shape: kept }, { reductionIndices: axes, keepDims: true }),
          site.node.type.shape,
        )
  },
  argMax: (site) => argument('ArgMax', operand(site, 0), site.node.attributes.axis, site.node.type.shape),
  argMin: (site) => argument('ArgMin', operand(site, 0), site.node.attributes.axis, site.node.type.shape),
  /** The kernel knows the last axis only. */
  softmax: (site) => {
    const [x, { axis }] = [operand(site, 0), site.node.attributes]
    const last = shapeOf(x).length - 1
    const swap = shapeOf(x).map((_, i) => (i === axis ? last : i === last ? axis : i))
    const moved = transpose(x, swap)
    return transpose(call('Softmax', [moved], moved.type, { dim: last }), swap)
  },
  matmul: (site) => product(operand(site, 0), operand(site, 1), site.node.type.shape, site.node.attributes),
}
