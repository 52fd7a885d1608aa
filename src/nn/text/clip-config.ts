import { type Checked, fail } from '../../error.ts'
import { E, pipe, t } from '../../prelude.ts'
import {
  about,
  type Decoded,
  decode,
  describedRecord,
  integer,
  nullable,
  number,
  record,
  withDefault,
  word,
} from '../../schema.ts'
import { entries, width } from '../bounds.ts'

/** Activations of CLIP's encoders, by the names of transformers. */
export const clipActivations = ['quick_gelu', 'gelu'] as const
const layers = integer({ min: 1, max: 128 })

/** A text transformer of CLIP: OpenAI's, or one of OpenCLIP, which has exact GELU. */
export const clipTextConfig = describedRecord(
  {
    vocabulary: about('Tokens that have an embedding; 49,408 in the published models.', entries, 49408),
    width: about('Channels of the states, and so of the context that the U-Net attends to.', width, 768),
    layers: about('Transformer blocks in a row.', layers, 12),
    heads: about('Heads of an attention; it must divide the width.', width, 12),
  },
  {
    positions: about(
      'Tokens of a text at most, start and end among them.',
      withDefault(integer({ min: 1, max: 4096 }), 77),
    ),
    mlpWidth: about(
      'Channels of the hidden layer of each block; 4 times the width where null.',
      withDefault(nullable(width), null),
    ),
    activation: about(
      'Of the hidden layers: "quick_gelu" in OpenAI\'s models, "gelu" in OpenCLIP\'s.',
      withDefault(word(clipActivations), 'quick_gelu'),
    ),
    projection: about(
      'Channels of the projected text; null where nothing is projected.',
      withDefault(nullable(width), null),
    ),
    eps: about(
      'What is added to the variance of layer normalisations before its root.',
      withDefault(number({ above: 0, max: 1 }), 1e-5),
    ),
    endToken: about(
      'The token whose first place is pooled at; null for the place of the largest id.',
      withDefault(nullable(integer({ min: 0, max: 2 ** 20 })), null),
    ),
  },
)
/** `clipTextConfig`, decoded. */
export type ClipTextConfig = Decoded<typeof clipTextConfig>

const published = { vocabulary: 49408, positions: 77, mlpWidth: null, eps: 1e-5, endToken: null } as const
/** The text transformers that diffusion models are published with. */
export const clipTextModels = {
  /** OpenAI's ViT-L/14: Stable Diffusion 1, and the first of XL. */
  'ViT-L-14': { ...published, width: 768, layers: 12, heads: 12, activation: 'quick_gelu', projection: null },
  /** OpenCLIP's ViT-H/14: Stable Diffusion 2, which leaves the last layer out. */
  'ViT-H-14': { ...published, width: 1024, layers: 24, heads: 16, activation: 'gelu', projection: 1024 },
  /** OpenCLIP's ViT-bigG/14: the second of Stable Diffusion XL. */
  'ViT-bigG-14': { ...published, width: 1280, layers: 32, heads: 20, activation: 'gelu', projection: 1280 },
} as const satisfies Readonly<Record<string, ClipTextConfig>>

/** The fields of a `config.json` of transformers' CLIPTextModel that say something about the network. */
const transformersConfig = record(
  { vocab_size: entries, hidden_size: width, num_hidden_layers: layers, num_attention_heads: width },
  {
    max_position_embeddings: withDefault(integer({ min: 1, max: 4096 }), 77),
    intermediate_size: withDefault(nullable(width), null),
    hidden_act: withDefault(word(clipActivations), 'quick_gelu'),
    layer_norm_eps: withDefault(number({ above: 0, max: 1 }), 1e-5),
    eos_token_id: withDefault(integer({ min: 0, max: 2 ** 20 }), 2),
    projection_dim: withDefault(nullable(width), null),
  },
)
const Fields = t.UnknownRecord
const Projected = t.type({ architectures: t.readonlyArray(t.string) })
/** All published files say 2, which is no end token: the text is pooled at the largest id then. */
const pooledAtLargest = 2

/**
 * A transformers' `config.json` of a CLIPTextModel, or of one with projection. `base` is the JSON pointer that errors begin with.
 *
 * @example
 * const config = clipTextOf(JSON.parse(text), 'text_encoder/config.json')
 */
export const clipTextOf = (document: unknown, base = ''): Checked<ClipTextConfig> =>
  Fields.is(document)
    ? pipe(
        Object.fromEntries(Object.entries(document).filter(([key]) => key in fieldsOf)),
        decode(transformersConfig, { base }),
        E.map((p) => ({
          vocabulary: p.vocab_size,
          positions: p.max_position_embeddings,
          width: p.hidden_size,
          layers: p.num_hidden_layers,
          heads: p.num_attention_heads,
          mlpWidth: p.intermediate_size,
          activation: p.hidden_act,
          eps: p.layer_norm_eps,
          projection:
            Projected.is(document) && document.architectures.includes('CLIPTextModelWithProjection')
              ? (p.projection_dim ?? p.hidden_size)
              : null,
          endToken: p.eos_token_id === pooledAtLargest ? null : p.eos_token_id,
        })),
      )
    : fail('config', base, 'an object', JSON.stringify(document) ?? 'nothing')
/** The `config.json` that transformers and diffusers read it from. */
export const clipTextDocument = (c: ClipTextConfig): Readonly<Record<string, unknown>> => ({
  architectures: [c.projection === null ? 'CLIPTextModel' : 'CLIPTextModelWithProjection'],
  model_type: 'clip_text_model',
  vocab_size: c.vocabulary,
  hidden_size: c.width,
  intermediate_size: c.mlpWidth ?? 4 * c.width,
  num_hidden_layers: c.layers,
  num_attention_heads: c.heads,
  max_position_embeddings: c.positions,
  hidden_act: c.activation,
  layer_norm_eps: c.eps,
  projection_dim: c.projection ?? c.width,
  bos_token_id: 0,
  eos_token_id: c.endToken ?? pooledAtLargest,
  pad_token_id: 1,
  attention_dropout: 0,
})
const Described = t.type({ properties: t.UnknownRecord })
const fieldsOf = Described.is(transformersConfig.json) ? transformersConfig.json.properties : {}
