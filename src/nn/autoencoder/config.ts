import { about, type Decoded, describedRecord, flag, record, withDefault, word } from '../../schema.ts'
import { depth, dropoutRate, multipliers, places, side, width } from '../bounds.ts'
import { defaultGroups } from '../layers.ts'

/** Attention of autoencoders, by the reference's names. */
export const attentionKinds = ['vanilla', 'linear', 'none'] as const

const pyramid = {
  required: {
    inChannels: about('Channels of the pictures: 3, or the number of labels of a segmentation.', width, 3),
    outChannels: about('Channels of the reconstructions: as many as inChannels.', width, 3),
    resolution: about(
      "Side of the pictures in pixels, the data's size; it decides where attention stands, not what sizes are accepted.",
      side,
      32,
    ),
    channels: about(
      'Channels at full resolution, a multiple of normGroups; parameters and time grow with its square. 128 in the published models.',
      width,
      32,
    ),
    resBlocks: about('Residual blocks a level on the way down, one more on the way up.', depth, 1),
  },
  defaulted: {
    channelMultipliers: about(
      'Channels of each level as multiples of channels; every level but the last halves the resolution, so three levels give latents of a quarter of the side. Smaller latents make diffusion cheaper, and reconstructions blurrier.',
      withDefault(multipliers, [1, 2, 4, 8]),
    ),
    attentionResolutions: about(
      'Sides in pixels of the feature maps that get attention in every block; the middle has it in any case.',
      withDefault(places, []),
      [16],
    ),
    attention: about(
      'The kind of attention: "vanilla" softmax, "linear" in memory proportional to the positions, or "none" even in the middle.',
      withDefault(word(attentionKinds), 'vanilla'),
    ),
    convResample: about(
      'Whether levels are resampled by a learnt convolution, or else by plain means and repetition.',
      withDefault(flag, true),
    ),
    normGroups: about(
      'Groups of channels that are normalised together; the reference always has 32.',
      withDefault(width, defaultGroups),
    ),
    dropout: about(
      'Share of activations that is dropped while training; seldom of use here.',
      withDefault(dropoutRate, 0),
    ),
  },
}

/** The autoencoder, as declared in experiments. In brackets the names of the reference's configuration. */
export const autoencoderConfig = describedRecord(
  {
    ...pyramid.required,
    latentChannels: about(
      'Channels of the latents that diffusion sees [embed_dim]; more keep more of the picture, and leave diffusion more to learn. 4 in Stable Diffusion.',
      width,
      4,
    ),
    zChannels: about(
      'Channels between encoder and decoder themselves, on the inner side of quant_conv [z_channels]; usually as latentChannels.',
      width,
      4,
    ),
  },
  {
    ...pyramid.defaulted,
    doubleZ: about(
      'Whether the encoder gives mean and log-variance, as "kl" needs, rather than one vector, as "vq" needs.',
      withDefault(flag, true),
    ),
    tanhOut: about('Whether reconstructions are kept in [-1, 1] by a tanh at the end.', withDefault(flag, false)),
    givePreEnd: about(
      'Whether the decoder ends before its last norm and convolution, as the reference offers it; never of use where pictures are wanted.',
      withDefault(flag, false),
    ),
  },
)
/** `autoencoderConfig`, decoded. */
export type AutoencoderConfig = Decoded<typeof autoencoderConfig>

/** The U-Net of DDPM [`Model` of ldm/modules/diffusionmodules/model.py]. */
export const ddpmUNetConfig = record(pyramid.required, {
  ...pyramid.defaulted,
  /** Whether the network is told the timestep. */
  timestep: withDefault(flag, true),
})
/** `ddpmUNetConfig`, decoded. */
export type DdpmUNetConfig = Decoded<typeof ddpmUNetConfig>

/** What the autoencoder and the U-Net of DDPM have in common. */
export type Pyramid = Pick<DdpmUNetConfig, keyof typeof pyramid.required | keyof typeof pyramid.defaulted>
