import { type Checked, fail, type LatentError } from '../error.ts'
import { E, pipe, RNEA } from '../prelude.ts'
import { type Codec, type Decoded, decode, flag, integer, nullable, record, withDefault, word } from '../schema.ts'
import { type AutoencoderConfig, attentionKinds, type DdpmUNetConfig, type Pyramid } from './autoencoder/config.ts'
import { depth, dropoutRate, entries, multipliers, places, side, width } from './bounds.ts'
import {
  type AttentionConfig,
  type EncoderUNetConfig,
  type HeadsConfig,
  pools,
  type UNetConfig,
} from './unet/config.ts'

/**
 * The configurations published with CompVis' latent-diffusion, `params` by `params`, as ours. Names, defaults and
 * meaning are those of the reference's constructors.
 */

/** The reference writes -1 for a number that is not given. */
const countOrNone = integer({ min: -1, max: 65536 })

const modelPy = {
  required: {
    ch: width,
    out_ch: width,
    num_res_blocks: depth,
    attn_resolutions: places,
    in_channels: width,
    resolution: side,
  },
  defaulted: {
    ch_mult: withDefault(multipliers, [1, 2, 4, 8]),
    dropout: withDefault(dropoutRate, 0),
    resamp_with_conv: withDefault(flag, true),
    use_linear_attn: withDefault(flag, false),
    attn_type: withDefault(word(attentionKinds), 'vanilla'),
  },
}
const ddconfig = record(
  { ...modelPy.required, z_channels: width },
  {
    ...modelPy.defaulted,
    double_z: withDefault(flag, true),
    give_pre_end: withDefault(flag, false),
    tanh_out: withDefault(flag, false),
  },
)
const ddpm = record(modelPy.required, { ...modelPy.defaulted, use_timestep: withDefault(flag, true) })

const pyramid = (p: Decoded<typeof ddconfig> | Decoded<typeof ddpm>): Pyramid => ({
  inChannels: p.in_channels,
  outChannels: p.out_ch,
  resolution: p.resolution,
  channels: p.ch,
  resBlocks: p.num_res_blocks,
  channelMultipliers: p.ch_mult,
  attentionResolutions: p.attn_resolutions,
  attention: p.use_linear_attn ? 'linear' : p.attn_type,
  convResample: p.resamp_with_conv,
  normGroups: 32,
  dropout: p.dropout,
})

/** `base` is the JSON pointer that errors begin with. */
const reading = <A>(codec: Codec<A>, base: string) => decode(codec, { base })

/** `ddconfig` and `embed_dim` of an `AutoencoderKL` or `VQModel`. */
export const publishedAutoencoder = (params: unknown, embedDim: number, base = ''): Checked<AutoencoderConfig> =>
  pipe(
    params,
    reading(ddconfig, base),
    E.map((p) => ({
      ...pyramid(p),
      latentChannels: embedDim,
      zChannels: p.z_channels,
      doubleZ: p.double_z,
      tanhOut: p.tanh_out,
      givePreEnd: p.give_pre_end,
    })),
  )

/** The arguments of `Model`. */
export const publishedDdpmUNet = (params: unknown, base = ''): Checked<DdpmUNetConfig> =>
  pipe(
    params,
    reading(ddpm, base),
    E.map((p) => ({ ...pyramid(p), timestep: p.use_timestep })),
  )

const openaiModel = {
  required: {
    in_channels: width,
    model_channels: width,
    out_channels: width,
    num_res_blocks: depth,
    attention_resolutions: places,
  },
  defaulted: {
    dropout: withDefault(dropoutRate, 0),
    channel_mult: withDefault(multipliers, [1, 2, 4, 8]),
    conv_resample: withDefault(flag, true),
    dims: withDefault(integer({ min: 2, max: 2 }), 2),
    use_checkpoint: withDefault(flag, false),
    use_fp16: withDefault(flag, false),
    num_head_channels: withDefault(countOrNone, -1),
    num_heads_upsample: withDefault(countOrNone, -1),
    use_scale_shift_norm: withDefault(flag, false),
    resblock_updown: withDefault(flag, false),
    use_new_attention_order: withDefault(flag, false),
  },
  /** Used by nothing but the attention pool, which goes by the size of its input here. */
  optional: { image_size: side },
}
const unetModel = record(
  openaiModel.required,
  {
    ...openaiModel.defaulted,
    num_heads: withDefault(countOrNone, -1),
    num_classes: withDefault(nullable(width), null),
    use_spatial_transformer: withDefault(flag, false),
    transformer_depth: withDefault(depth, 1),
    context_dim: withDefault(nullable(width), null),
    n_embed: withDefault(nullable(entries), null),
    legacy: withDefault(flag, true),
  },
  openaiModel.optional,
)
const encoderUNetModel = record(
  openaiModel.required,
  { ...openaiModel.defaulted, num_heads: withDefault(countOrNone, 1), pool: withDefault(word(pools), 'adaptive') },
  openaiModel.optional,
)
type UNetModel = Decoded<typeof unetModel>
type EncoderUNetModel = Decoded<typeof encoderUNetModel>

const headsOf = (p: UNetModel | EncoderUNetModel, upsample: number, base: string): Checked<HeadsConfig> =>
  p.num_head_channels !== -1
    ? E.right({ by: 'channels', channels: p.num_head_channels })
    : p.num_heads === -1
      ? fail('config', `${base}/num_heads`, 'num_heads or num_head_channels', 'neither')
      : E.right({ by: 'count', count: p.num_heads, ...(upsample === -1 ? {} : { upsample }) })

const attentionOf = (p: UNetModel, base: string): Checked<AttentionConfig> =>
  p.use_spatial_transformer
    ? p.context_dim === null
      ? fail('config', `${base}/context_dim`, 'the width of the context, as use_spatial_transformer is true', 'nothing')
      : E.right({ kind: 'transformer', contextDim: p.context_dim, depth: p.transformer_depth, widenHeads: p.legacy })
    : p.context_dim === null
      ? E.right({ kind: 'self', order: p.use_new_attention_order ? 'new' : 'legacy' })
      : fail('config', `${base}/context_dim`, 'nothing, as use_spatial_transformer is false', `${p.context_dim}`)

const trunk = (p: UNetModel | EncoderUNetModel) => ({
  inChannels: p.in_channels,
  outChannels: p.out_channels,
  modelChannels: p.model_channels,
  resBlocks: p.num_res_blocks,
  attentionFactors: p.attention_resolutions,
  channelMultipliers: p.channel_mult,
  resample: p.resblock_updown ? ('residual' as const) : p.conv_resample ? ('conv' as const) : ('plain' as const),
  scaleShiftNorm: p.use_scale_shift_norm,
  dropout: p.dropout,
})

const validation = E.getApplicativeValidation(RNEA.getSemigroup<LatentError>())

/** The arguments of `UNetModel`. Where not legacy, the reference ignores `num_heads_upsample`. */
export const publishedUNet = (params: unknown, base = ''): Checked<UNetConfig> =>
  pipe(
    params,
    reading(unetModel, base),
    E.chain((p) => {
      const heads = headsOf(p, p.legacy ? p.num_heads_upsample : -1, base)
      const config = (h: HeadsConfig) => (attention: AttentionConfig) => ({
        ...trunk(p),
        heads: h,
        attention,
        classes: p.num_classes,
        codebook: p.n_embed,
      })
      return validation.ap(validation.map(heads, config), attentionOf(p, base))
    }),
  )

/** The arguments of `EncoderUNetModel`. */
export const publishedEncoderUNet = (params: unknown, base = ''): Checked<EncoderUNetConfig> =>
  pipe(
    params,
    reading(encoderUNetModel, base),
    E.chain((p) =>
      pipe(
        headsOf(p, -1, base),
        E.map((heads) => ({ ...trunk(p), heads, order: p.use_new_attention_order ? 'new' : 'legacy', pool: p.pool })),
      ),
    ),
  )
