import { div, exp, matmul, mul, parameter, sqrt, square, sum, type Tensor, transpose } from '../../declare/index.ts'
import type { Checked } from '../../error.ts'
import type { Shape } from '../../graph/types.ts'
import {
  classEmbedder,
  clipText,
  clipVision,
  inLayout,
  type Layout,
  openClipNames,
  openClipVisionNames,
  rescaleMethods,
  spatialRescaler,
  transformerEmbedder,
  zeros,
} from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import { flag, integer, number, record, withDefault, word } from '../../schema.ts'
import { parameterTolerances } from '../formula.ts'
import { type Adapter, adapter, area, type Plan } from '../plan.ts'
import { given, graphPlan } from '../rebuild.ts'
import { layerPlan } from './attention.ts'
import { simpleTokenizer } from './tokenizers.ts'

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

/** OpenAI's towers: activation, normalisation and pooling are not in their configurations. */
const openAi = { mlpWidth: null, activation: 'quick_gelu', eps: 1e-5 } as const

const clipTextCase = record({
  vocab_size: positive,
  context_length: positive,
  width: positive,
  layers: positive,
  heads: positive,
  embed_dim: positive,
})

const clipCase = record({
  vocab_size: positive,
  context_length: positive,
  transformer_width: positive,
  layers: positive,
  heads: positive,
  embed_dim: positive,
  image_resolution: positive,
  patch: positive,
  vision_width: positive,
  vision_layers: positive,
  vision_heads: positive,
})

/** Both of the reference's embedders are the same network; its head for the next token takes no part. */
const embedder: Adapter = adapter(
  record(
    { n_embed: positive, n_layer: positive, vocab_size: positive },
    { max_seq_len: withDefault(positive, 77) },
    { tokens: positive },
  ),
  (p, c) => {
    const config = { width: p.n_embed, layers: p.n_layer, vocabulary: p.vocab_size, positions: p.max_seq_len }
    return pipe(
      graphPlan(c, { z: transformerEmbedder('', config)(given(c, 'tokens')) }),
      withUnread({
        'transformer.to_logits.weight': [p.vocab_size, p.n_embed],
        'transformer.to_logits.bias': [p.vocab_size],
      }),
    )
  },
)

interface TextSizes {
  readonly vocab_size: number
  readonly context_length: number
  readonly layers: number
  readonly heads: number
  readonly embed_dim: number
}
const textOf = (p: TextSizes, width: number) =>
  clipText('', {
    vocabulary: p.vocab_size,
    positions: p.context_length,
    width,
    layers: p.layers,
    heads: p.heads,
    projection: p.embed_dim,
    endToken: null,
    ...openAi,
  })

export const conditioning = area(
  {
    'simple_tokenizer.py SimpleTokenizer': simpleTokenizer,
    'model.py CLIP': adapter(clipCase, (p, c) => {
      const text = textOf(p, p.transformer_width)(given(c, 'tokens'))
      const image_features = clipVision('', {
        side: p.image_resolution,
        patch: p.patch,
        width: p.vision_width,
        layers: p.vision_layers,
        heads: p.vision_heads,
        projection: p.embed_dim,
        ...openAi,
      })(given(c, 'image'))
      const text_features = text.projected ?? text.pooled
      const scale = exp(parameter('', 'logit_scale', [], zeros))
      const alike = pipe(
        normalized(image_features),
        mul(scale),
        matmul(normalized(text_features), { transposeB: true }),
      )
      const layout: Layout = (name) =>
        openClipNames({ width: p.transformer_width })(name) ?? openClipVisionNames({ width: p.vision_width })(name)
      const outputs = {
        image_features,
        text_features,
        logits_per_image: alike,
        logits_per_text: pipe(alike, transpose(1, 0)),
      }
      return graphPlan(c, inLayout(layout)(outputs))
    }),
    'modules.py BERTEmbedder': embedder,
    'modules.py TransformerEmbedder': embedder,
    'modules.py ClassEmbedder': adapter(
      record({ embed_dim: positive }, { n_classes: withDefault(positive, 1000) }),
      ({ n_classes, embed_dim }, c) =>
        graphPlan(c, { c: classEmbedder('', { classes: n_classes, dim: embed_dim })(given(c, 'cls')) }),
    ),
    'modules.py SpatialRescaler': adapter(
      record(
        {},
        {
          n_stages: withDefault(positive, 1),
          method: withDefault(word(rescaleMethods), 'bilinear'),
          multiplier: withDefault(number({ above: 0 }), 0.5),
          in_channels: withDefault(positive, 3),
          bias: withDefault(flag, false),
        },
        { out_channels: positive },
      ),
      (p, c) =>
        layerPlan(
          c,
          spatialRescaler('', {
            stages: p.n_stages,
            method: p.method,
            factor: p.multiplier,
            outChannels: p.out_channels ?? null,
            bias: p.bias,
          }),
        ),
    ),
    'model.py CLIP.encode_text': adapter(clipTextCase, (p, c) => {
      const text = textOf(p, p.width)(given(c, 'tokens'))
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
