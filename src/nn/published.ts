import { type Checked, fail, failure, type LatentError } from '../error.ts'
import { E, pipe, RNEA } from '../prelude.ts'
import {
  type Codec,
  type Decoded,
  decode,
  either,
  flag,
  integer,
  list,
  nullable,
  orList,
  record,
  withDefault,
  word,
} from '../schema.ts'
import { type AutoencoderConfig, attentionKinds, type DdpmUNetConfig, type Pyramid } from './autoencoder/config.ts'
import { depth, depthOrNone, dropoutRate, entries, mostLevels, multipliers, places, side, width } from './bounds.ts'
import type { ControlNetConfig } from './controlnet.ts'
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

/** Other code for the same numbers, in Stability's. */
const otherVanilla = ['vanilla-xformers'] as const

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
    attn_type: withDefault(word([...attentionKinds, ...otherVanilla]), 'vanilla'),
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
  attention: p.use_linear_attn ? 'linear' : (attentionKinds.find((kind) => kind === p.attn_type) ?? 'vanilla'),
  convResample: p.resamp_with_conv,
  normGroups: 32,
  dropout: p.dropout,
})

const isObject = (u: unknown): u is Readonly<Record<string, unknown>> =>
  typeof u === 'object' && u !== null && !Array.isArray(u)

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
    num_res_blocks: orList(depth, { min: 1, max: mostLevels }),
    attention_resolutions: places,
  },
  defaulted: {
    dropout: withDefault(dropoutRate, 0),
    channel_mult: withDefault(multipliers, [1, 2, 4, 8]),
    conv_resample: withDefault(flag, true),
    dims: withDefault(integer({ min: 2, max: 2 }), 2),
    use_checkpoint: withDefault(flag, false),
    use_fp16: withDefault(flag, false),
    use_bf16: withDefault(flag, false),
    num_head_channels: withDefault(countOrNone, -1),
    num_heads_upsample: withDefault(countOrNone, -1),
    use_scale_shift_norm: withDefault(flag, false),
    resblock_updown: withDefault(flag, false),
    use_new_attention_order: withDefault(flag, false),
  },
  /** Used by nothing but the attention pool, which goes by the size of its input here. */
  optional: { image_size: side },
}
/** What `UNetModel` and `ControlNet` have beyond `EncoderUNetModel`, in Stability's code too. */
const conditioned = {
  num_heads: withDefault(countOrNone, -1),
  use_spatial_transformer: withDefault(flag, false),
  transformer_depth: withDefault(orList(depthOrNone, { min: 1, max: mostLevels }), 1),
  transformer_depth_middle: withDefault(nullable(depthOrNone), null),
  use_linear_in_transformer: withDefault(flag, false),
  /** How attention is computed, with the same numbers. */
  spatial_transformer_attn_type: withDefault(word(['softmax', 'softmax-xformers']), 'softmax'),
  context_dim: withDefault(nullable(width), null),
  disable_self_attentions: withDefault(nullable(list(flag, { min: 1, max: mostLevels })), null),
  disable_middle_self_attn: withDefault(flag, false),
  disable_middle_transformer: withDefault(flag, false),
  num_attention_blocks: withDefault(nullable(list(integer({ min: 0, max: 64 }), { max: mostLevels })), null),
  num_classes: withDefault(nullable(either(width, word(['sequential', 'continuous', 'timestep']))), null),
  adm_in_channels: withDefault(nullable(width), null),
  n_embed: withDefault(nullable(entries), null),
  legacy: withDefault(flag, true),
}
const unetModel = record(
  { ...openaiModel.required, out_channels: width },
  { ...openaiModel.defaulted, ...conditioned },
  openaiModel.optional,
)
const controlNetModel = record(
  { ...openaiModel.required, hint_channels: width },
  { ...openaiModel.defaulted, ...conditioned },
  openaiModel.optional,
)
const encoderUNetModel = record(
  { ...openaiModel.required, num_res_blocks: depth, out_channels: width },
  { ...openaiModel.defaulted, num_heads: withDefault(countOrNone, 1), pool: withDefault(word(pools), 'adaptive') },
  openaiModel.optional,
)
type Conditioned = Omit<Decoded<typeof unetModel>, 'out_channels'>
type EncoderUNetModel = Decoded<typeof encoderUNetModel>
type Trunk = Conditioned | Omit<EncoderUNetModel, 'out_channels'>

const headsOf = (p: Trunk, upsample: number, base: string): Checked<HeadsConfig> =>
  p.num_head_channels !== -1
    ? E.right({ by: 'channels', channels: p.num_head_channels })
    : p.num_heads === -1
      ? fail('config', `${base}/num_heads`, 'num_heads or num_head_channels', 'neither')
      : E.right({ by: 'count', count: p.num_heads, ...(upsample === -1 ? {} : { upsample }) })

/** What the reference would build and there is nothing for here; each by its name. */
const unbuilt = (p: Conditioned, base: string): readonly LatentError[] => {
  const refused = (built: boolean, name: keyof Conditioned, expected: string): readonly LatentError[] =>
    built ? [] : [failure('config', `${base}/${name}`, expected, JSON.stringify(p[name]))]
  const levels = p.channel_mult.length
  const blocks = resBlocksOf(p)
  const listed = (value: number | readonly number[]): boolean => typeof value === 'number' || value.length === levels
  const { num_attention_blocks: attended, disable_self_attentions: disabled } = p
  return [
    ...refused(blocks !== undefined, 'num_res_blocks', 'one number for all levels'),
    ...refused(listed(p.transformer_depth), 'transformer_depth', `a number, or one for each of the ${levels} levels`),
    ...refused(disabled === null || disabled.length === levels, 'disable_self_attentions', `${levels} flags, or none`),
    ...refused(!p.disable_middle_self_attn, 'disable_middle_self_attn', 'false: the middle always has self-attention'),
    ...refused(!p.disable_middle_transformer, 'disable_middle_transformer', 'false: the middle always has attention'),
    ...refused(
      attended === null || (attended.length === levels && attended.every((n) => n > (blocks ?? 0))),
      'num_attention_blocks',
      'none: every block of a level has attention, or none has',
    ),
    ...refused(
      p.num_classes === null || typeof p.num_classes === 'number' || p.num_classes === 'sequential',
      'num_classes',
      'a number of classes or "sequential"',
    ),
    ...refused(
      (p.num_classes === 'sequential') === (p.adm_in_channels !== null),
      'adm_in_channels',
      'a width if and only if num_classes is "sequential"',
    ),
  ]
}

const attentionOf = (p: Conditioned, base: string): Checked<AttentionConfig> => {
  const { context_dim: contextDim, disable_self_attentions: disabled, transformer_depth_middle: middleDepth } = p
  if (!p.use_spatial_transformer)
    return contextDim === null
      ? E.right({ kind: 'self', order: p.use_new_attention_order ? 'new' : 'legacy' })
      : fail('config', `${base}/context_dim`, 'nothing, as use_spatial_transformer is false', `${contextDim}`)
  const contextOnlyFactors = (disabled ?? []).flatMap((off, level) => (off ? [2 ** level] : []))
  return contextDim === null
    ? fail('config', `${base}/context_dim`, 'the width of the context, as use_spatial_transformer is true', 'nothing')
    : E.right({
        kind: 'transformer',
        contextDim,
        depth: p.transformer_depth,
        widenHeads: p.legacy,
        ...(p.use_linear_in_transformer ? { projection: 'linear' } : {}),
        ...(contextOnlyFactors.length > 0 ? { contextOnlyFactors } : {}),
        ...(middleDepth === null ? {} : { middleDepth }),
      })
}

/** Of all levels; undefined where they differ. */
const resBlocksOf = ({ num_res_blocks: given }: Trunk): number | undefined =>
  typeof given === 'number' ? given : given.every((n) => n === given[0]) ? given[0] : undefined

const trunk = (p: Trunk) => ({
  inChannels: p.in_channels,
  modelChannels: p.model_channels,
  resBlocks: resBlocksOf(p) ?? 1,
  attentionFactors: p.attention_resolutions,
  channelMultipliers: p.channel_mult,
  resample: p.resblock_updown ? ('residual' as const) : p.conv_resample ? ('conv' as const) : ('plain' as const),
  scaleShiftNorm: p.use_scale_shift_norm,
  dropout: p.dropout,
})

const validation = E.getApplicativeValidation(RNEA.getSemigroup<LatentError>())

/** Where not legacy, the reference ignores `num_heads_upsample`. */
const conditionedTrunk = (p: Conditioned, base: string) => {
  const heads = headsOf(p, p.legacy ? p.num_heads_upsample : -1, base)
  const wrong = unbuilt(p, base)
  const [first, ...rest] = wrong
  const sound: Checked<Conditioned> = first === undefined ? E.right(p) : E.left([first, ...rest])
  const config = (h: HeadsConfig) => (attention: AttentionConfig) => (_: Conditioned) => ({
    ...trunk(p),
    heads: h,
    attention,
    classes: typeof p.num_classes === 'number' ? p.num_classes : null,
    ...(p.adm_in_channels === null ? {} : { vector: p.adm_in_channels }),
  })
  return validation.ap(validation.ap(validation.map(heads, config), attentionOf(p, base)), sound)
}

/** The arguments of `UNetModel`, and of `ControlledUnetModel` of lllyasviel/ControlNet. */
export const publishedUNet = (params: unknown, base = ''): Checked<UNetConfig> =>
  pipe(
    params,
    reading(unetModel, base),
    E.chain((p) =>
      pipe(
        conditionedTrunk(p, base),
        E.map((c) => ({ ...c, outChannels: p.out_channels, codebook: p.n_embed })),
      ),
    ),
  )

/** One width for all blocks may be said for each. */
const ofAll = (u: unknown): unknown => (Array.isArray(u) && u.every((one) => one === u[0]) ? u[0] : u)

/** Of Stability-AI/generative-models, where attention sees a context if it has a width, and heads are never widened. */
export const publishedSgmUNet = (params: unknown, base = ''): Checked<UNetConfig> =>
  publishedUNet(
    isObject(params)
      ? {
          legacy: false,
          use_spatial_transformer: (params.context_dim ?? null) !== null,
          ...params,
          ...(params.context_dim === undefined ? {} : { context_dim: ofAll(params.context_dim) }),
        }
      : params,
    base,
  )

/** Widths of the convolutions that all published ControlNets bring their pictures to the latents' size by. */
const hintWidths = [16, 32, 96, 256]

/** The arguments of `ControlNet` of lllyasviel/ControlNet, which says nothing of the block that reads the picture. */
export const publishedControlNet = (params: unknown, base = ''): Checked<ControlNetConfig> =>
  pipe(
    params,
    reading(controlNetModel, base),
    E.chain((p) =>
      pipe(
        conditionedTrunk(p, base),
        E.map((c) => ({ ...c, hintChannels: p.hint_channels, hintWidths })),
      ),
    ),
  )

/** The arguments of `EncoderUNetModel`. */
export const publishedEncoderUNet = (params: unknown, base = ''): Checked<EncoderUNetConfig> =>
  pipe(
    params,
    reading(encoderUNetModel, base),
    E.chain((p) =>
      pipe(
        headsOf(p, -1, base),
        E.map((heads) => ({
          ...trunk(p),
          outChannels: p.out_channels,
          heads,
          order: p.use_new_attention_order ? 'new' : 'legacy',
          pool: p.pool,
        })),
      ),
    ),
  )
