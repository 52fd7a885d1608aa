import { type Decoded, flag, nullable, record, tagged, withDefault, withOwnDefaults, word } from '../../schema.ts'
import { depth, dropoutRate, entries, multipliers, places, width } from '../bounds.ts'

/** How many heads an attention has: their number, or the width of each, which gives their number at every level. */
export const heads = tagged('by', {
  /** `upsample`: another number on the way up. */
  count: record({ count: width }, {}, { upsample: width }),
  channels: record({ channels: width }),
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
      depth: withDefault(depth, 1),
      /** With heads by channels that do not divide a level's width: widen them to the whole width [legacy]. */
      widenHeads: withDefault(flag, true),
    },
  ),
})
export type AttentionConfig = Decoded<typeof attention>

const required = {
  inChannels: width,
  outChannels: width,
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

/** The U-Net, as declared in experiments. In brackets the names of the reference's configuration. */
export const unetConfig = record(required, {
  ...defaulted,
  attention: withOwnDefaults(attention, { kind: 'self' }),
  /** Class labels, added to the timestep embedding. */
  classes: withDefault(nullable(width), null),
  /** Predict logits over the entries of a codebook of this size instead of `outChannels` [n_embed]. */
  codebook: withDefault(nullable(entries), null),
})
export type UNetConfig = Decoded<typeof unetConfig>

export const pools = ['adaptive', 'attention', 'spatial', 'spatial_v2'] as const
/** The way down alone, pooled to a vector of `outChannels`: a classifier on noisy latents. */
export const encoderUNetConfig = record(required, {
  ...defaulted,
  order: withDefault(order, 'legacy'),
  pool: withDefault(word(pools), 'adaptive'),
})
export type EncoderUNetConfig = Decoded<typeof encoderUNetConfig>

/** What both have in common. */
export type TrunkConfig = Pick<UNetConfig, keyof typeof required | keyof typeof defaulted | 'attention'>
