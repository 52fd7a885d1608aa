import { rescaleMethods, type SpatialRescalerConfig } from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import { type Codec, flag, integer, nullable, number, record, text, withDefault, word } from '../../schema.ts'
import { positive } from './losses.ts'
import { byTarget, type Reader, reading } from './reader.ts'

/** What makes conditions of what the data or a request give: `cond_stage_config`, or one of sgm's `emb_models`. */

/** Which state of a text transformer is told: after how many layers (-1 the last), through the final norm or not; or the pooled one. */
export type TextState = { readonly layer: number; readonly normalised: boolean } | 'pooled'

/** A conditioning stage of the original code. In brackets its class. */
export type Encoder =
  /** Labels as one token each [ClassEmbedder]. */
  | { readonly kind: 'classes'; readonly entries: number; readonly dim: number }
  /** OpenAI's CLIP, as transformers has it [FrozenCLIPEmbedder]. */
  | {
      readonly kind: 'clip'
      readonly version: string
      readonly state: TextState
      readonly positions: number
      /** Whether the pooled text is told too. */
      readonly pools: boolean
    }
  /** OpenCLIP [FrozenOpenCLIPEmbedder, FrozenOpenCLIPEmbedder2]. */
  | {
      readonly kind: 'open-clip'
      readonly version: string
      readonly state: TextState
      readonly positions: number
      readonly pools: boolean
    }
  /** A transformer of its own, over BERT's tokens [BERTEmbedder], or over tokens as they are given [TransformerEmbedder]. */
  | {
      readonly kind: 'bert'
      readonly width: number
      readonly layers: number
      readonly vocabulary: number
      readonly positions: number
      readonly tokenises: boolean
    }
  /** [SpatialRescaler] */
  | {
      readonly kind: 'rescaler'
      readonly stages: number
      readonly method: (typeof rescaleMethods)[number]
      readonly factor: number
      readonly inChannels: number
      readonly outChannels: number | null
      readonly bias: boolean
    }
  /** Numbers, each with a sinusoidal embedding of its own [ConcatTimestepEmbedderND]. */
  | { readonly kind: 'sizes'; readonly dim: number }
  /** What comes in goes on as it is. */
  | { readonly kind: 'identity' }
  /** Latents of the first stage. */
  | { readonly kind: 'first-stage' }
  /** One that has no counterpart here. */
  | { readonly kind: 'notBuilt'; readonly target: string }

/** Without the channels that it takes. */
export const rescalerOf = ({
  stages,
  method,
  factor,
  outChannels,
  bias,
}: Extract<Encoder, { readonly kind: 'rescaler' }>): SpatialRescalerConfig => ({
  stages,
  method,
  factor,
  outChannels,
  bias,
})

const layerIndex = integer({ min: -128, max: 128 })
const positions = integer({ min: 1, max: 4096 })
/** Where the original code runs, and whether it trains the encoder. */
const unheeded = { device: text, freeze: flag, ucg_rate: number({ min: 0, max: 1 }) }

const classEmbedder = record(
  { embed_dim: positive },
  { n_classes: withDefault(positive, 1000), key: withDefault(text, 'class') },
  unheeded,
)
const clipEmbedder = record(
  {},
  {
    version: withDefault(text, 'openai/clip-vit-large-patch14'),
    max_length: withDefault(positions, 77),
    layer: withDefault(word(['last', 'pooled', 'hidden']), 'last'),
    layer_idx: withDefault(nullable(layerIndex), null),
    always_return_pooled: withDefault(flag, false),
  },
  unheeded,
)
const openClip = {
  version: withDefault(text, ''),
  max_length: withDefault(positions, 77),
  layer: withDefault(word(['last', 'penultimate']), 'last'),
}
const openClipEmbedder = record({}, { ...openClip, arch: withDefault(text, 'ViT-H-14') }, unheeded)
const openClipEmbedder2 = record(
  {},
  {
    ...openClip,
    arch: withDefault(text, 'ViT-H-14'),
    always_return_pooled: withDefault(flag, false),
    legacy: withDefault(flag, true),
  },
  unheeded,
)
const transformer = {
  required: { n_embed: positive, n_layer: integer({ min: 1, max: 128 }) },
  max_seq_len: withDefault(positions, 77),
}
const bertEmbedder = record(
  transformer.required,
  {
    vocab_size: withDefault(positive, 30522),
    max_seq_len: transformer.max_seq_len,
    use_tokenizer: withDefault(flag, true),
    embedding_dropout: withDefault(number({ min: 0, max: 1 }), 0),
  },
  unheeded,
)
const transformerEmbedder = record(
  { ...transformer.required, vocab_size: positive },
  { max_seq_len: transformer.max_seq_len },
  unheeded,
)
const spatialRescaler = record(
  {},
  {
    n_stages: withDefault(integer({ min: 1, max: 10 }), 1),
    method: withDefault(word(rescaleMethods), 'bilinear'),
    multiplier: withDefault(number({ above: 0, max: 16 }), 0.5),
    in_channels: withDefault(positive, 3),
    out_channels: withDefault(nullable(positive), null),
    bias: withDefault(flag, false),
  },
)

const as =
  <A>(codec: Codec<A>, encoder: (params: A) => Encoder): Reader<Encoder> =>
  (params, base) =>
    pipe(reading(codec)(params, base), E.map(encoder))

const clip = as(
  clipEmbedder,
  ({ version, max_length, layer, layer_idx, always_return_pooled }): Encoder => ({
    kind: 'clip',
    version,
    positions: max_length,
    pools: always_return_pooled,
    state: {
      last: { layer: -1, normalised: true },
      pooled: 'pooled' as const,
      hidden: { layer: layer_idx ?? -1, normalised: false },
    }[layer],
  }),
)
/** The last state is told through the final norm, and the one before it too where the code has none but that to tell. */
const openClipState = (layer: 'last' | 'penultimate', normalised: boolean): TextState => ({
  layer: layer === 'last' ? -1 : -2,
  normalised: normalised || layer === 'last',
})
const bert = ({ n_embed, n_layer, vocab_size, max_seq_len }: TransformerParams, tokenises: boolean): Encoder => ({
  kind: 'bert',
  width: n_embed,
  layers: n_layer,
  vocabulary: vocab_size,
  positions: max_seq_len,
  tokenises,
})
interface TransformerParams {
  readonly n_embed: number
  readonly n_layer: number
  readonly vocab_size: number
  readonly max_seq_len: number
}

const encoders: Readonly<Record<string, Reader<Encoder>>> = {
  'ldm.modules.encoders.modules.ClassEmbedder': as(classEmbedder, ({ n_classes, embed_dim }) => ({
    kind: 'classes',
    entries: n_classes,
    dim: embed_dim,
  })),
  'ldm.modules.encoders.modules.FrozenCLIPEmbedder': clip,
  'sgm.modules.encoders.modules.FrozenCLIPEmbedder': clip,
  'ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder': as(openClipEmbedder, ({ arch, layer, max_length }) => ({
    kind: 'open-clip',
    version: arch,
    positions: max_length,
    pools: false,
    state: openClipState(layer, true),
  })),
  'sgm.modules.encoders.modules.FrozenOpenCLIPEmbedder2': as(
    openClipEmbedder2,
    ({ arch, layer, max_length, always_return_pooled, legacy }) => ({
      kind: 'open-clip',
      version: arch,
      positions: max_length,
      pools: always_return_pooled,
      state: openClipState(layer, legacy),
    }),
  ),
  'ldm.modules.encoders.modules.BERTEmbedder': as(bertEmbedder, (p) => bert(p, p.use_tokenizer)),
  'ldm.modules.encoders.modules.TransformerEmbedder': as(transformerEmbedder, (p) => bert(p, false)),
  'ldm.modules.encoders.modules.SpatialRescaler': as(spatialRescaler, (p) => ({
    kind: 'rescaler',
    stages: p.n_stages,
    method: p.method,
    factor: p.multiplier,
    inChannels: p.in_channels,
    outChannels: p.out_channels,
    bias: p.bias,
  })),
  'sgm.modules.encoders.modules.ConcatTimestepEmbedderND': as(record({ outdim: positive }), ({ outdim }) => ({
    kind: 'sizes',
    dim: outdim,
  })),
  'torch.nn.Identity': () => E.right({ kind: 'identity' }),
}

/** A target that is not known is kept by its name: the rest of the model may be asked for all the same. */
export const encoder: Reader<Encoder> = byTarget(encoders, (target): Encoder => ({ kind: 'notBuilt', target }))
