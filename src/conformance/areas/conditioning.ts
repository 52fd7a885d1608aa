import { div, mul, parameter, sqrt, square, sum, type Tensor } from '../../declare/index.ts'
import type { Checked } from '../../error.ts'
import type { Shape } from '../../graph/types.ts'
import { zeros } from '../../nn/index.ts'
import { inLayout } from '../../nn/layout.ts'
import { clipText } from '../../nn/text/clip.ts'
import { openClipNames } from '../../nn/text/clip-names.ts'
import { E, pipe } from '../../prelude.ts'
import { integer, record } from '../../schema.ts'
import { parameterTolerances } from '../formula.ts'
import { adapter, area, type Plan } from '../plan.ts'
import { given, graphPlan } from '../rebuild.ts'

const positive = integer({ min: 1 })

const normalized = (x: Tensor): Tensor => pipe(x, div(pipe(x, square, sum({ axes: [-1], keepDims: true }), sqrt)))

/** Parameters of the reference that no output reads: their gradients are 0. */
const withUnread =
  (unread: Readonly<Record<string, Shape>>) =>
  (plan: Checked<Plan>): Checked<Plan> =>
    pipe(
      plan,
      E.map((p) =>
        p.kind === 'graph'
          ? {
              ...p,
              outputs: {
                ...p.outputs,
                ...Object.fromEntries(
                  Object.entries(unread).map(([name, shape]) => [
                    `grad.param.${name}`,
                    pipe(parameter('', name, shape, zeros), mul(0)),
                  ]),
                ),
              },
            }
          : p,
      ),
    )

const clipTextCase = record({
  vocab_size: positive,
  context_length: positive,
  width: positive,
  layers: positive,
  heads: positive,
  embed_dim: positive,
})

export const conditioning = area(
  {
    'model.py CLIP.encode_text': adapter(clipTextCase, (p, c) => {
      const text = clipText('', {
        vocabulary: p.vocab_size,
        positions: p.context_length,
        width: p.width,
        layers: p.layers,
        heads: p.heads,
        projection: p.embed_dim,
        mlpWidth: null,
        activation: 'quick_gelu',
        eps: 1e-5,
        endToken: null,
      })(given(c, 'tokens'))
      const features = text.projected ?? text.pooled
      const blocks = text.hidden.slice(1).map((h, i) => [`block${i}`, h] as const)
      const outputs = {
        features,
        hidden: text.last,
        features_normalized: normalized(features),
        ...Object.fromEntries(blocks),
      }
      return pipe(graphPlan(c, inLayout(openClipNames(p))(outputs)), withUnread({ logit_scale: [] }))
    }),
  },
  [
    ...parameterTolerances,
    { tensor: /^grad/, measure: 'scaled', limit: 3e-6 },
    { tensor: /^out/, measure: 'scaled', limit: 3e-6 },
  ],
)
