import { type Checked, failure, type LatentError } from '../../error.ts'
import type { AutoencoderConfig, ControlNetConfig, HeadsConfig, TrunkConfig, UNetConfig } from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import type { DiffusersAutoencoder } from './autoencoder.ts'
import type { DiffusersControlNet } from './controlnet.ts'
import type { Json } from './fields.ts'
import type { DiffusersTinyAutoencoder } from './tiny.ts'
import type { VectorLayers } from './trunk.ts'
import type { DiffusersUNet } from './unet.ts'
import { usualNorm } from './unet-2d.ts'

/** Our configurations as diffusers' `config.json`. Errors (`config`): what diffusers has no network for, by our fields. */

const refused = (fits: boolean, at: string, expected: string, got: unknown): readonly LatentError[] =>
  fits ? [] : [failure('config', at, expected, JSON.stringify(got))]
const sound =
  (problems: readonly LatentError[]) =>
  (document: () => Json): Checked<Json> => {
    const [first, ...rest] = problems
    return first === undefined ? E.right(document()) : E.left([first, ...rest])
  }

const widths = ({ channelMultipliers, modelChannels }: TrunkConfig): readonly number[] =>
  channelMultipliers.map((m) => m * modelChannels)

/** Numbers of heads; undefined where diffusers could not say them. */
const headsOf = (c: TrunkConfig, heads: HeadsConfig): number | readonly number[] | undefined => {
  if (heads.by === 'levels') return heads.counts
  if (heads.by === 'count') return heads.upsample === undefined ? heads.count : undefined
  const own = widths(c)
  return own.every((w) => w % heads.channels === 0) ? own.map((w) => w / heads.channels) : undefined
}

type Labelled = TrunkConfig & Pick<ControlNetConfig, 'classes' | 'vector'>

const trunkProblems = (c: Labelled): readonly LatentError[] => {
  const { attention, channelMultipliers } = c
  const lastDepth =
    attention.kind === 'transformer' && typeof attention.depth !== 'number'
      ? attention.depth.at(-1)
      : attention.kind === 'transformer'
        ? attention.depth
        : undefined
  return [
    ...refused(c.timesteps !== 'sines-first', '/unet/timesteps', '"cosines-first"', c.timesteps),
    ...refused(c.downPadding !== 'behind', '/unet/downPadding', '"around"', c.downPadding),
    ...refused(c.norm === undefined, '/unet/norm', 'none', c.norm),
    ...refused(attention.kind === 'transformer', '/unet/attention/kind', '"transformer"', attention.kind),
    ...refused(c.resample === 'conv', '/unet/resample', '"conv"', c.resample),
    ...refused(channelMultipliers[0] === 1, '/unet/channelMultipliers/0', '1', channelMultipliers[0]),
    ...refused(
      headsOf(c, c.heads) !== undefined,
      '/unet/heads',
      'as many on the way up as down, and widths that they divide',
      c.heads,
    ),
    ...refused(
      attention.kind !== 'transformer' || attention.middleDepth === undefined || attention.middleDepth === lastDepth,
      '/unet/attention/middleDepth',
      'that of the last level',
      attention.kind === 'transformer' ? attention.middleDepth : undefined,
    ),
  ]
}

const blockTypes = (c: TrunkConfig, way: 'Down' | 'Up'): readonly string[] => {
  const types = c.channelMultipliers.map((_, level) =>
    c.attentionFactors.includes(2 ** level) ? `CrossAttn${way}Block2D` : `${way}Block2D`,
  )
  return way === 'Up' ? types.toReversed() : types
}

const trunkFields = (c: Labelled, layers: VectorLayers | undefined): Json => {
  const { attention } = c
  const only = attention.kind === 'transformer' ? (attention.contextOnlyFactors ?? []) : []
  return {
    act_fn: 'silu',
    norm_num_groups: 32,
    norm_eps: 1e-5,
    flip_sin_to_cos: true,
    freq_shift: 0,
    downsample_padding: 1,
    mid_block_scale_factor: 1,
    in_channels: c.inChannels,
    block_out_channels: widths(c),
    layers_per_block: c.resBlocks,
    attention_head_dim: headsOf(c, c.heads),
    down_block_types: blockTypes(c, 'Down'),
    resnet_time_scale_shift: c.scaleShiftNorm ? 'scale_shift' : 'default',
    ...(attention.kind === 'transformer'
      ? {
          cross_attention_dim: attention.contextDim,
          transformer_layers_per_block: attention.depth,
          use_linear_projection: attention.projection === 'linear',
        }
      : {}),
    ...(only.length === 0
      ? {}
      : { only_cross_attention: c.channelMultipliers.map((_, level) => only.includes(2 ** level)) }),
    ...(c.classes === null ? {} : { num_class_embeds: c.classes }),
    ...(c.vector === undefined
      ? {}
      : {
          projection_class_embeddings_input_dim: c.vector,
          ...(layers === 'class_embedding' ? { class_embed_type: 'projection' } : { addition_embed_type: 'text_time' }),
        }),
  }
}

/** A `UNet2DConditionModel`. */
export const unetDocument = ({ unet: c, sampleSize, vectorLayers, timeIdDim }: DiffusersUNet): Checked<Json> =>
  sound([...trunkProblems(c), ...refused(c.codebook === null, '/unet/codebook', 'null', c.codebook)])(() => ({
    _class_name: 'UNet2DConditionModel',
    ...trunkFields(c, vectorLayers),
    out_channels: c.outChannels,
    up_block_types: blockTypes(c, 'Up'),
    dropout: c.dropout,
    sample_size: sampleSize,
    ...(timeIdDim === undefined ? {} : { addition_time_embed_dim: timeIdDim }),
  }))

/** The width of heads that all levels have; null for one head, undefined where they differ. */
const headWidth = ({ heads, channelMultipliers, modelChannels }: UNetConfig): number | null | undefined => {
  if (heads.by === 'channels') return heads.channels
  if (heads.by === 'levels' || (heads.upsample ?? heads.count) !== heads.count) return undefined
  if (heads.count === 1) return null
  const widths = new Set(channelMultipliers.map((m) => (m * modelChannels) / heads.count))
  const [own] = widths
  return widths.size === 1 && own !== undefined && Number.isInteger(own) ? own : undefined
}

/** A `UNet2DModel`. */
export const unet2dDocument = ({ unet: c, sampleSize }: DiffusersUNet): Checked<Json> => {
  const { norm = usualNorm } = c
  const width = headWidth(c)
  const attends = c.channelMultipliers.map((_, level) => c.attentionFactors.includes(2 ** level))
  const types = (way: 'Down' | 'Up') => attends.map((yes) => `${yes ? 'Attn' : ''}${way}Block2D`)
  const cosinesFirst = c.timesteps !== 'sines-first'
  return sound([
    ...refused(c.attention.kind === 'self', '/unet/attention/kind', '"self"', c.attention.kind),
    ...refused(c.resample === 'conv', '/unet/resample', '"conv"', c.resample),
    ...refused(!c.scaleShiftNorm, '/unet/scaleShiftNorm', 'false', c.scaleShiftNorm),
    ...refused(c.channelMultipliers[0] === 1, '/unet/channelMultipliers/0', '1', c.channelMultipliers[0]),
    ...refused(c.classes === null, '/unet/classes', 'null', c.classes),
    ...refused(c.vector === undefined, '/unet/vector', 'none', c.vector),
    ...refused(c.codebook === null, '/unet/codebook', 'null', c.codebook),
    ...refused(width !== undefined, '/unet/heads', 'one head, or heads of one width at all levels', c.heads),
  ])(() => ({
    _class_name: 'UNet2DModel',
    act_fn: 'silu',
    add_attention: true,
    attention_head_dim: width,
    block_out_channels: widths(c),
    center_input_sample: false,
    down_block_types: types('Down'),
    downsample_padding: c.downPadding === 'behind' ? 0 : 1,
    dropout: c.dropout,
    flip_sin_to_cos: cosinesFirst,
    freq_shift: cosinesFirst ? 0 : 1,
    in_channels: c.inChannels,
    layers_per_block: c.resBlocks,
    mid_block_scale_factor: 1,
    norm_eps: norm.eps,
    norm_num_groups: norm.groups,
    out_channels: c.outChannels,
    resnet_time_scale_shift: 'default',
    sample_size: sampleSize,
    time_embedding_type: 'positional',
    up_block_types: types('Up').toReversed(),
  }))
}

/** A `ControlNetModel`. */
export const controlNetDocument = ({ controlNet: c, vectorLayers }: DiffusersControlNet): Checked<Json> =>
  sound(trunkProblems(c))(() => ({
    _class_name: 'ControlNetModel',
    ...trunkFields(c, vectorLayers),
    conditioning_channels: c.hintChannels,
    conditioning_embedding_out_channels: c.hintWidths,
  }))

const autoencoderProblems = (c: AutoencoderConfig, codebook: number | undefined): readonly LatentError[] => [
  ...refused(c.attention === 'vanilla', '/firstStage/attention', '"vanilla"', c.attention),
  ...refused(c.convResample, '/firstStage/convResample', 'true', c.convResample),
  ...refused(!c.tanhOut && !c.givePreEnd, '/firstStage/tanhOut', 'false, as givePreEnd', c.tanhOut),
  ...refused(c.channelMultipliers[0] === 1, '/firstStage/channelMultipliers/0', '1', c.channelMultipliers[0]),
  ...refused(
    codebook !== undefined || c.zChannels === c.latentChannels,
    '/firstStage/zChannels',
    `${c.latentChannels}, as latentChannels`,
    c.zChannels,
  ),
]

/** An `AutoencoderKL`, or a `VQModel` where it has a codebook. */
export const autoencoderDocument = (a: DiffusersAutoencoder): Checked<Json> => {
  const { autoencoder: c, codebook } = a
  const attends = c.channelMultipliers.map((_, level) => c.attentionResolutions.includes(c.resolution / 2 ** level))
  const types = (kind: string): readonly string[] =>
    attends.map((yes) => (yes ? `Attn${kind}Block2D` : `${kind}Block2D`))
  const scaled = { scaling_factor: a.scalingFactor }
  return pipe(
    () => ({
      act_fn: 'silu',
      norm_num_groups: c.normGroups,
      in_channels: c.inChannels,
      out_channels: c.outChannels,
      block_out_channels: c.channelMultipliers.map((m) => m * c.channels),
      layers_per_block: c.resBlocks,
      latent_channels: c.zChannels,
      sample_size: c.resolution,
      down_block_types: types('DownEncoder'),
      up_block_types: types('UpDecoder').toReversed(),
      ...(codebook === undefined
        ? { _class_name: 'AutoencoderKL', ...scaled, ...(a.shiftFactor === 0 ? {} : { shift_factor: a.shiftFactor }) }
        : { _class_name: 'VQModel', ...scaled, num_vq_embeddings: codebook, vq_embed_dim: c.latentChannels }),
    }),
    sound(autoencoderProblems(c, codebook)),
  )
}

/** An `AutoencoderTiny`. */
export const tinyDocument = ({ tiny: c, scalingFactor, shiftFactor }: DiffusersTinyAutoencoder): Json => ({
  _class_name: 'AutoencoderTiny',
  act_fn: 'relu',
  in_channels: c.inChannels,
  out_channels: c.outChannels,
  latent_channels: c.latentChannels,
  encoder_block_out_channels: c.encoderBlocks.map(() => c.channels),
  decoder_block_out_channels: c.decoderBlocks.map(() => c.channels),
  num_encoder_blocks: c.encoderBlocks,
  num_decoder_blocks: c.decoderBlocks,
  latent_magnitude: c.magnitude,
  latent_shift: c.shift,
  scaling_factor: scalingFactor,
  shift_factor: shiftFactor,
})
