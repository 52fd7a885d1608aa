import type { Tensor } from '../../declare/index.ts'
import {
  basicTransformerBlock,
  crossAttention,
  feedForward,
  type Layer,
  linearAttention,
  spatialSelfAttention,
  spatialTransformer,
} from '../../nn/index.ts'
import { pipe } from '../../prelude.ts'
import { flag, integer, number, record, withDefault } from '../../schema.ts'
import type { Case } from '../case.ts'
import { parameterTolerances } from '../formula.ts'
import { adapter, area } from '../plan.ts'
import { given, graphPlan, optional } from '../rebuild.ts'

const positive = integer({ min: 1 })
/** Off in evaluation, which is what the cases show. */
const dropout = withDefault(number({ min: 0, max: 1 }), 0)

/** `out.y` of a layer on `in.x`. */
export const layerPlan = (c: Case, layer: Layer) => graphPlan(c, { y: pipe(given(c, 'x'), layer) })

const context = (c: Case): { readonly context?: Tensor } => {
  const x = optional(c, 'context')
  return x === undefined ? {} : { context: x }
}
const mask = (c: Case): { readonly mask?: Tensor } => {
  const x = optional(c, 'mask')
  return x === undefined ? {} : { mask: x }
}

export const attention = area(
  {
    'attention.py CrossAttention': adapter(
      record(
        { query_dim: positive },
        { heads: withDefault(positive, 8), dim_head: withDefault(positive, 64), dropout },
        { context_dim: positive },
      ),
      ({ heads, dim_head }, c) =>
        layerPlan(c, crossAttention('', { heads, headChannels: dim_head, ...context(c), ...mask(c) })),
    ),
    'attention.py FeedForward': adapter(
      record(
        { dim: positive },
        { mult: withDefault(number({ above: 0 }), 4), glu: withDefault(flag, false), dropout },
        { dim_out: positive },
      ),
      ({ mult, glu, dim_out }, c) =>
        layerPlan(c, feedForward('', { mult, gated: glu, ...(dim_out === undefined ? {} : { out: dim_out }) })),
    ),
    'attention.py BasicTransformerBlock': adapter(
      record(
        { dim: positive, n_heads: positive, d_head: positive },
        { gated_ff: withDefault(flag, true), checkpoint: withDefault(flag, true), dropout },
        { context_dim: positive },
      ),
      ({ n_heads, d_head, gated_ff }, c) =>
        layerPlan(
          c,
          basicTransformerBlock('', { heads: n_heads, headChannels: d_head, gated: gated_ff, ...context(c) }),
        ),
    ),
    'attention.py SpatialTransformer': adapter(
      record(
        { in_channels: positive, n_heads: positive, d_head: positive },
        { depth: withDefault(positive, 1), dropout },
        { context_dim: positive },
      ),
      ({ n_heads, d_head, depth }, c) =>
        layerPlan(c, spatialTransformer('', { heads: n_heads, headChannels: d_head, depth, ...context(c) })),
    ),
    'attention.py LinearAttention': adapter(
      record({ dim: positive }, { heads: withDefault(positive, 4), dim_head: withDefault(positive, 32) }),
      ({ heads, dim_head }, c) => layerPlan(c, linearAttention('', { heads, headChannels: dim_head })),
    ),
    'attention.py SpatialSelfAttention': adapter(record({ in_channels: positive }), (_, c) =>
      layerPlan(c, spatialSelfAttention('')),
    ),
  },
  [
    ...parameterTolerances,
    { tensor: /^grad/, measure: 'scaled', limit: 1e-5 },
    { tensor: /^out/, measure: 'scaled', limit: 3e-6 },
  ],
)
