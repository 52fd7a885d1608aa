import { type Decoded, flag, record, withDefault, word } from '../../schema.ts'
import { depth, dropoutRate, multipliers, places, side, width } from '../bounds.ts'
import { defaultGroups } from '../layers.ts'

export const attentionKinds = ['vanilla', 'linear', 'none'] as const

const pyramid = {
  required: {
    inChannels: width,
    outChannels: width,
    /** Side of the pictures the model is made for; decides where attention stands, not what sizes are accepted. */
    resolution: side,
    /** Channels at full resolution, a multiple of `normGroups` as are all its multiples below. */
    channels: width,
    /** Residual blocks a level on the way down; one more on the way up. */
    resBlocks: depth,
  },
  defaulted: {
    /** Channels of each level over `channels`; every level but the last halves the resolution. */
    channelMultipliers: withDefault(multipliers, [1, 2, 4, 8]),
    /** Sides of the feature maps that get attention in every block. The middle has it in any case. */
    attentionResolutions: withDefault(places, []),
    attention: withDefault(word(attentionKinds), 'vanilla'),
    /** Resample with a learnt convolution, or else by plain means and repetition. */
    convResample: withDefault(flag, true),
    /** Groups of channels that are normalised together; the reference always has 32. */
    normGroups: withDefault(width, defaultGroups),
    /** Rate, while training. */
    dropout: withDefault(dropoutRate, 0),
  },
}

/** The autoencoder, as declared in experiments. In brackets the names of the reference's configuration. */
export const autoencoderConfig = record(
  {
    ...pyramid.required,
    /** Channels of the latents that diffusion sees [embed_dim]. */
    latentChannels: width,
    /** Channels between encoder and decoder themselves, on the inner side of quant_conv [z_channels]. */
    zChannels: width,
  },
  {
    ...pyramid.defaulted,
    /** The encoder gives mean and log-variance (KL) rather than one vector (VQ). */
    doubleZ: withDefault(flag, true),
    tanhOut: withDefault(flag, false),
    /** The decoder ends before its last norm and convolution. */
    givePreEnd: withDefault(flag, false),
  },
)
export type AutoencoderConfig = Decoded<typeof autoencoderConfig>

/** The U-Net of DDPM [`Model` of ldm/modules/diffusionmodules/model.py]. */
export const ddpmUNetConfig = record(pyramid.required, {
  ...pyramid.defaulted,
  /** Whether the network is told the timestep. */
  timestep: withDefault(flag, true),
})
export type DdpmUNetConfig = Decoded<typeof ddpmUNetConfig>

/** What the autoencoder and the U-Net of DDPM have in common. */
export type Pyramid = Pick<DdpmUNetConfig, keyof typeof pyramid.required | keyof typeof pyramid.defaulted>
