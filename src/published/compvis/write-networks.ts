import { type Checked, failure, type LatentError } from '../../error.ts'
import type { AutoencoderConfig, TrunkConfig, UNetConfig } from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import type { FirstStage } from './first-stage.ts'
import type { Json } from './reader.ts'

/** Networks as the original code's configurations declare them. Errors (`config`): what its code has no network for, by our fields. */

export const refused = (fits: boolean, at: string, expected: string, got: unknown): readonly LatentError[] =>
  fits ? [] : [failure('config', at, expected, JSON.stringify(got) ?? 'nothing')]
export const sound =
  (problems: readonly LatentError[]) =>
  <A>(document: () => A): Checked<A> => {
    const [first, ...rest] = problems
    return first === undefined ? E.right(document()) : E.left([first, ...rest])
  }

/** Which of the two codes: CompVis' and its heirs', or Stability-AI/generative-models. */
export type Code = 'ldm' | 'sgm'

/** How many heads, or how wide they are; undefined where neither is the same everywhere. */
const headFields = ({ heads, channelMultipliers, modelChannels, attentionFactors }: TrunkConfig): Json | undefined => {
  if (heads.by === 'channels') return { num_head_channels: heads.channels }
  if (heads.by === 'count')
    return {
      num_heads: heads.count,
      ...(heads.upsample === undefined ? {} : { num_heads_upsample: heads.upsample }),
    }
  const attending = heads.counts.flatMap((count, level, { length }) =>
    attentionFactors.includes(2 ** level) || level === length - 1
      ? [{ count, width: ((channelMultipliers[level] ?? 1) * modelChannels) / count }]
      : [],
  )
  const [first] = attending
  if (first === undefined) return undefined
  return attending.every(({ count }) => count === first.count)
    ? { num_heads: first.count }
    : Number.isInteger(first.width) && attending.every(({ width }) => width === first.width)
      ? { num_head_channels: first.width }
      : undefined
}

const attentionFields = (c: UNetConfig, code: Code): Json => {
  const { attention, heads, channelMultipliers } = c
  if (attention.kind === 'self') return attention.order === 'new' ? { use_new_attention_order: true } : {}
  const { contextOnlyFactors, middleDepth } = attention
  return {
    ...(code === 'sgm'
      ? {}
      : {
          use_spatial_transformer: true,
          legacy: attention.widenHeads || (heads.by === 'count' && heads.upsample !== undefined),
        }),
    transformer_depth: attention.depth,
    context_dim: attention.contextDim,
    ...(attention.projection === 'linear' ? { use_linear_in_transformer: true } : {}),
    ...(contextOnlyFactors === undefined
      ? {}
      : { disable_self_attentions: channelMultipliers.map((_, level) => contextOnlyFactors.includes(2 ** level)) }),
    ...(middleDepth === undefined ? {} : { transformer_depth_middle: middleDepth }),
  }
}

/** The groups that the original code normalises by. */
const groups = 32

/** `UNetModel`; `side` is that of the latents, which CompVis' code asks for and does not use. */
export const originalUNet = (c: UNetConfig, code: Code, side: number): Checked<Json> => {
  const { attention } = c
  const heads = headFields(c)
  return pipe(
    (): Json => ({
      target: `${code}.modules.diffusionmodules.openaimodel.UNetModel`,
      params: {
        ...(code === 'ldm' ? { image_size: side } : {}),
        in_channels: c.inChannels,
        out_channels: c.outChannels,
        model_channels: c.modelChannels,
        attention_resolutions: c.attentionFactors,
        num_res_blocks: c.resBlocks,
        channel_mult: c.channelMultipliers,
        ...heads,
        ...attentionFields(c, code),
        ...(c.resample === 'plain' ? { conv_resample: false } : {}),
        ...(c.resample === 'residual' ? { resblock_updown: true } : {}),
        ...(c.scaleShiftNorm ? { use_scale_shift_norm: true } : {}),
        ...(c.dropout === 0 ? {} : { dropout: c.dropout }),
        ...(c.classes === null ? {} : { num_classes: c.classes }),
        ...(c.vector === undefined ? {} : { num_classes: 'sequential', adm_in_channels: c.vector }),
        ...(c.codebook === null ? {} : { n_embed: c.codebook }),
      },
    }),
    sound([
      ...refused(c.timesteps !== 'sines-first', '/unet/timesteps', '"cosines-first"', c.timesteps),
      ...refused(c.downPadding !== 'behind', '/unet/downPadding', '"around"', c.downPadding),
      ...refused(
        c.norm === undefined || (c.norm.groups === groups && c.norm.eps === 1e-5),
        '/unet/norm',
        `${groups} groups, eps 1e-5`,
        c.norm,
      ),
      ...refused(heads !== undefined, '/unet/heads', 'the same number or the same width at all levels', c.heads),
      ...refused(
        code === 'ldm' || (attention.kind === 'transformer' && (!attention.widenHeads || c.heads.by === 'count')),
        '/unet/attention',
        '"transformer" without widenHeads, as in Stable Diffusion XL',
        attention,
      ),
    ]),
  )
}

const ddconfig = (c: AutoencoderConfig): Json => ({
  double_z: c.doubleZ,
  z_channels: c.zChannels,
  resolution: c.resolution,
  in_channels: c.inChannels,
  out_ch: c.outChannels,
  ch: c.channels,
  ch_mult: c.channelMultipliers,
  num_res_blocks: c.resBlocks,
  attn_resolutions: c.attentionResolutions,
  dropout: c.dropout,
  ...(c.convResample ? {} : { resamp_with_conv: false }),
  ...(c.attention === 'vanilla' ? {} : { attn_type: c.attention }),
  ...(c.tanhOut ? { tanh_out: true } : {}),
  ...(c.givePreEnd ? { give_pre_end: true } : {}),
})

/** `AutoencoderKL`, or the `VQModelInterface` that quantises when it decodes; without its loss, which is for training. */
export const originalFirstStage = ({ autoencoder: c, codebook }: FirstStage, code: Code): Checked<Json> =>
  pipe(
    (): Json => ({
      target: `${code}.models.autoencoder.${codebook === undefined ? 'AutoencoderKL' : 'VQModelInterface'}`,
      params: {
        embed_dim: c.latentChannels,
        ...(codebook === undefined ? {} : { n_embed: codebook }),
        ddconfig: ddconfig(c),
        lossconfig: { target: 'torch.nn.Identity' },
      },
    }),
    sound([
      ...refused(c.normGroups === groups, '/firstStage/network/normGroups', `${groups}`, c.normGroups),
      ...refused(
        code === 'ldm' || codebook === undefined,
        '/firstStage/kind',
        '"kl", beside the encoders of Stable Diffusion XL',
        'vq',
      ),
    ]),
  )
