import {
  type Decoded,
  flag,
  list,
  nullable,
  number,
  orList,
  record,
  tagged,
  withDefault,
  withOwnDefaults,
  word,
} from '../../schema.ts'
import { depth, depthOrNone, dropoutRate, entries, mostLevels, multipliers, places, width } from '../bounds.ts'

/** How many heads an attention has: their number, or the width of each, which gives their number at every level. */
export const heads = tagged('by', {
  /** `upsample`: another number on the way up. */
  count: record({ count: width }, {}, { upsample: width }),
  channels: record({ channels: width }),
  /** A number for each level; the middle has the last one's. */
  levels: record({ counts: list(width, { min: 1, max: mostLevels }) }),
})
export type HeadsConfig = Decoded<typeof heads>

const order = word(['legacy', 'new'])
export const attention = tagged('kind', {
  /** Positions attend to each other. */
  self: record({}, { order: withDefault(order, 'legacy') }),
  /** They attend to each other and to a context [N, L, contextDim]. */
  transformer: record(
    { contextDim: width },
    {
      /** Blocks in a row, everywhere or at each level; the middle has as many as the last level. */
      depth: withDefault(orList(depthOrNone, { min: 1, max: mostLevels }), 1),
      /** With heads by channels that do not divide a level's width: widen them to the whole width [legacy]. */
      widenHeads: withDefault(flag, true),
    },
    {
      /** What leads into the blocks and out of them: 1x1 convolutions unless linear layers [use_linear_in_transformer]. */
      projection: word(['conv', 'linear']),
      /** Factors of downsampling at which both attentions see the context, and none the positions [disable_self_attentions]. */
      contextOnlyFactors: places,
      /** Blocks in a row in the middle, where it has others than the last level [transformer_depth_middle]. */
      middleDepth: depthOrNone,
    },
  ),
})
export type AttentionConfig = Decoded<typeof attention>

const required = {
  inChannels: width,
  /** Channels at full resolution, a multiple of 32. */
  modelChannels: width,
  /** Residual blocks a level on the way down; one more on the way up. */
  resBlocks: depth,
  /** Factors of downsampling at which blocks have attention: 1 is full resolution [attention_resolutions]. */
  attentionFactors: places,
  heads,
}
const defaulted = {
  /** Channels of each level over `modelChannels`; every level but the last halves the resolution. */
  channelMultipliers: withDefault(multipliers, [1, 2, 4, 8]),
  /** Between levels: a strided convolution, plain means and repetition, or a residual block around these. */
  resample: withDefault(word(['conv', 'plain', 'residual']), 'conv'),
  /** The timestep scales and shifts the second norm's result, rather than being added before it. */
  scaleShiftNorm: withDefault(flag, false),
  /** Rate, while training. */
  dropout: withDefault(dropoutRate, 0),
}

/** What a network is told beside x and the timesteps. */
const conditioned = {
  attention: withOwnDefaults(attention, { kind: 'self' }),
  /** Class labels, added to the timestep embedding. */
  classes: withDefault(nullable(width), null),
}
const optional = {
  /** Width of a vector that is added to the timestep embedding through two dense layers [adm_in_channels]. */
  vector: width,
}
/** What other networks of this family do otherwise: those of DDPM, and of diffusers' `UNet2DModel`. */
const other = {
  /** Sines before cosines, their frequencies spread over one less [flip_sin_to_cos, freq_shift]; cosines first where left out. */
  timesteps: word(['cosines-first', 'sines-first']),
  /** Zeros of strided convolutions around the map, or at its right and bottom alone, as autoencoders have them [downsample_padding]. */
  downPadding: word(['around', 'behind']),
  /** Of all group normalisations. */
  norm: record({}, { groups: withDefault(width, 32), eps: withDefault(number({ min: 1e-12, max: 1 }), 1e-5) }),
}
/** What all networks of this family are declared by. */
export const trunkFields = { required, defaulted, conditioned, optional }

/** The U-Net, as declared in experiments. In brackets the names of the reference's configuration. */
export const unetConfig = record(
  { ...required, outChannels: width },
  {
    ...defaulted,
    ...conditioned,
    /** Predict logits over the entries of a codebook of this size instead of `outChannels` [n_embed]. */
    codebook: withDefault(nullable(entries), null),
  },
  { ...optional, ...other },
)
export type UNetConfig = Decoded<typeof unetConfig>

export const pools = ['adaptive', 'attention', 'spatial', 'spatial_v2'] as const
/** The way down alone, pooled to a vector of `outChannels`: a classifier on noisy latents. */
export const encoderUNetConfig = record(
  { ...required, outChannels: width },
  {
    ...defaulted,
    order: withDefault(order, 'legacy'),
    pool: withDefault(word(pools), 'adaptive'),
  },
)
export type EncoderUNetConfig = Decoded<typeof encoderUNetConfig>

/** What both have in common. */
export type TrunkConfig = Pick<
  UNetConfig,
  keyof typeof required | keyof typeof defaulted | 'attention' | keyof typeof other
>
