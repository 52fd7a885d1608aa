import { sameShape, size } from '../../graph/types.ts'
import { type LoweringTable, operand, shapeOf, valueAt } from './lowering.ts'
import {
  absent,
  call,
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
  transpose,
} from './value.ts'

type Movement = Pick<
  LoweringTable,
  | 'reshape'
  | 'transpose'
  | 'slice'
  | 'pad'
  | 'concat'
  | 'broadcast'
  | 'gather'
  | 'scatterAdd'
  | 'upsampleNearest'
  | 'maxPool'
>
export const movementLowerings: Movement = {
  reshape: (site) => reshape(valueAt(site, 0), site.node.attributes.shape),
  transpose: (site) => transpose(valueAt(site, 0), site.node.attributes.permutation),
  slice: (site) => {
    const { start, size: extent } = site.node.attributes
    const end = start.map((s, i) => s + (extent[i] ?? 0))
    return sameShape(extent, shapeOf(operand(site, 0))) ? valueAt(site, 0) : slice(valueAt(site, 0), start, end)
  },
  pad: (site) =>
    pad(valueAt(site, 0), site.node.attributes.low, site.node.attributes.high, scalar(site.node.type.dtype, 0)),
  concat: (site) =>
    concat(
      site.node.attributes.axis,
      site.operands.map((x) => x.value),
    ),
  broadcast: (site) => call('Expand', [valueAt(site, 0), int64s(site.node.attributes.shape)]),
  gather: (site) => call('Gather', [valueAt(site, 0), valueAt(site, 1)], { axis: int(0) }),
  /** ScatterElements adds in order, so that the sum is the same every time. */
  scatterAdd: (site) => {
    const { dtype, shape } = site.node.type
    const [rows = 0, ...rest] = shape
    const [hits, width] = [size(shapeOf(operand(site, 0))), size(rest)]
    const zeros = filledWith(dtype, [rows, width], 0)
    const indices = call('Expand', [reshape(valueAt(site, 0), [hits, 1]), int64s([hits, width])])
    const updates = reshape(valueAt(site, 1), [hits, width])
    return reshape(call('ScatterElements', [zeros, indices, updates], { axis: int(0), reduction: text('add') }), shape)
  },
  upsampleNearest: (site) =>
    call('Resize', [valueAt(site, 0), absent, floats([4], [1, 1, ...site.node.attributes.factor])], {
      mode: text('nearest'),
      coordinate_transformation_mode: text('asymmetric'),
      nearest_mode: text('floor'),
    }),
  maxPool: (site) => {
    const window = ints(site.node.attributes.factor)
    return call('MaxPool', [valueAt(site, 0)], { kernel_shape: window, strides: window })
  },
}
