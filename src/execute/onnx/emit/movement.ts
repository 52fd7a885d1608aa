import type { OpOf } from '../../../graph/ops.ts'
import { isHalf, sameShape, size } from '../../../graph/types.ts'
import {
  absent,
  call,
  cast,
  concat,
  filledWith,
  floats,
  int,
  int64s,
  ints,
  pad,
  reshape,
  scalar,
  slice,
  text,
} from '../value.ts'
import { type EmitTable, operandShape, valueAt } from './emit.ts'

export const movementEmits: Pick<EmitTable, OpOf<'movement'>> = {
  reshape: (site) => reshape(valueAt(site, 0), site.call.attributes.shape),
  /** Its result lies as its operand does. */
  transpose: (site) => valueAt(site, 0),
  slice: (site) => {
    const { start, size: extent } = site.call.attributes
    const end = start.map((s, i) => s + (extent[i] ?? 0))
    return sameShape(extent, operandShape(site, 0)) ? valueAt(site, 0) : slice(valueAt(site, 0), start, end)
  },
  pad: (site) =>
    pad(valueAt(site, 0), site.call.attributes.low, site.call.attributes.high, scalar(site.call.type.dtype, 0)),
  concat: (site) => concat(site.call.attributes.axis, site.values),
  broadcast: (site) => call('Expand', [valueAt(site, 0), int64s(site.call.attributes.shape)]),
  gather: (site) => call('Gather', [valueAt(site, 0), valueAt(site, 1)], { axis: int(0) }),
  /** ScatterElements adds in order, so that the sum is the same every time, and not in half precision. */
  scatterAdd: (site) => {
    const { dtype, shape } = site.call.type
    const summed = isHalf(dtype) ? 'float32' : dtype
    const [rows = 0, ...rest] = shape
    const [hits, width] = [size(operandShape(site, 0)), size(rest)]
    const zeros = filledWith(summed, [rows, width], 0)
    const indices = call('Expand', [reshape(valueAt(site, 0), [hits, 1]), int64s([hits, width])])
    const given = isHalf(dtype) ? cast(valueAt(site, 1), summed) : valueAt(site, 1)
    const updates = reshape(given, [hits, width])
    const sums = call('ScatterElements', [zeros, indices, updates], { axis: int(0), reduction: text('add') })
    return reshape(isHalf(dtype) ? cast(sums, dtype) : sums, shape)
  },
  upsampleNearest: (site) =>
    call('Resize', [valueAt(site, 0), absent, floats([4], [1, 1, ...site.call.attributes.factor])], {
      mode: text('nearest'),
      coordinate_transformation_mode: text('asymmetric'),
      nearest_mode: text('floor'),
    }),
  maxPool: (site) => {
    const window = ints(site.call.attributes.factor)
    return call('MaxPool', [valueAt(site, 0)], { kernel_shape: window, strides: window })
  },
}
