import type { OpOf } from '../../graph/ops.ts'
import { size } from '../../graph/types.ts'
import { oneHot, scatterIntegers } from './integers.ts'
import { type LoweringTable, operand } from './lowering.ts'
import { broadcast, call, cast, concat, dtypeOf, pad, reshape, shapeOf, slice, transpose } from './value.ts'
import { channelsFirst, channelsLast } from './window.ts'

export const movementLowerings: Pick<LoweringTable, OpOf<'movement'>> = {
  reshape: (site) => reshape(operand(site, 0), site.node.attributes.shape),
  transpose: (site) => transpose(operand(site, 0), site.node.attributes.permutation),
  slice: (site) => slice(operand(site, 0), site.node.attributes.start, site.node.attributes.size),
  pad: (site) => pad(operand(site, 0), site.node.attributes.low, site.node.attributes.high),
  /** WebGPU's kernel takes none that are empty. */
  concat: (site) => {
    const [first = operand(site, 0), ...others] = site.operands.filter((x) => size(shapeOf(x)) > 0)
    return concat(site.node.attributes.axis, [first, ...others])
  },
  broadcast: (site) => broadcast(operand(site, 0), site.node.attributes.shape),
  gather: (site) => {
    const [table, indices] = [operand(site, 0), operand(site, 1)]
    const hits = size(shapeOf(indices))
    const rows = call(
      'GatherV2',
      [table, reshape(indices, [hits])],
      { dtype: dtypeOf(table), shape: [hits, ...shapeOf(table).slice(1)] },
      { axis: 0, batchDims: 0 },
    )
    return reshape(rows, site.node.type.shape)
  },
  /** One-hot rows times updates: sums in one order on every backend, and no backend lacks it. */
  scatterAdd: (site) => {
    const { shape, dtype } = site.node.type
    const [rows = 0, ...rest] = shape
    const [hits, width] = [size(shapeOf(operand(site, 0))), size(rest)]
    const [indices, updates] = [reshape(operand(site, 0), [hits]), operand(site, 1)]
    if (dtype === 'int32' && size(shapeOf(updates)) > 0)
      return reshape(scatterIntegers(indices, reshape(updates, [hits, width]), rows), shape)
    const summed = call(
      'BatchMatMul',
      [
        reshape(cast(oneHot(indices, rows), 'float32'), [1, hits, rows]),
        reshape(cast(updates, 'float32'), [1, hits, width]),
      ],
      { dtype: 'float32', shape: [1, rows, width] },
      { transposeA: true, transposeB: false },
    )
    return cast(reshape(summed, shape), dtype)
  },
  upsampleNearest: (site) => {
    const [n = 0, c = 0, h = 0, w = 0] = site.node.type.shape
    return channelsFirst(
      call(
        'ResizeNearestNeighbor',
        [channelsLast(operand(site, 0))],
        { dtype: site.node.type.dtype, shape: [n, h, w, c] },
        { alignCorners: false, halfPixelCenters: false, size: [h, w] },
      ),
    )
  },
  maxPool: (site) => {
    const [n = 0, c = 0, h = 0, w = 0] = site.node.type.shape
    const { factor } = site.node.attributes
    return channelsFirst(
      call(
        'MaxPool',
        [channelsLast(operand(site, 0))],
        { dtype: site.node.type.dtype, shape: [n, h, w, c] },
        { filterSize: factor, strides: factor, pad: 'valid' },
      ),
    )
  },
}
