import {
  about,
  type Decoded,
  describedRecord,
  describedTagged,
  flag,
  list,
  nullable,
  number,
  orList,
  record,
  withDefault,
  withOwnDefaults,
  word,
} from '../../schema.ts'
import { depth, depthOrNone, dropoutRate, entries, mostLevels, multipliers, places, width } from '../bounds.ts'

/** How many heads an attention has: their number, or the width of each, which gives their number at every level. */
export const heads = describedTagged('by', {
  count: about(
    'The same number of heads at every level, so that heads are wider where there are more channels.',
    describedRecord(
      {
        count: about('Heads of an attention; it must divide the channels of every level that has attention.', width, 4),
      },
      {},
      { upsample: about('Another number of heads on the way up; as on the way down where left out.', width, 8) },
    ),
  ),
  channels: about(
    'Heads of the same width at every level, so that there are more of them where there are more channels.',
    describedRecord({ channels: about('Channels of a head; 32 and 64 are usual.', width, 32) }),
  ),
  levels: about(
    "A number of heads for each level, from full resolution down; the middle has the last one's.",
    describedRecord({
      counts: about(
        'Heads at each level, as many numbers as levels.',
        list(width, { min: 1, max: mostLevels }),
        [4, 8],
      ),
    }),
  ),
})
/** `heads`, decoded. */
export type HeadsConfig = Decoded<typeof heads>

const order = word(['legacy', 'new'])
/** The codec of what positions attend to. */
export const attention = describedTagged('kind', {
  self: about(
    'Positions of the feature map attend to each other; the network sees no text.',
    describedRecord(
      {},
      {
        order: about(
          'How queries, keys and values lie in the weights: "legacy" head by head as in the published models, "new" each after the other; it matters only to weights that are loaded.',
          withDefault(order, 'legacy'),
        ),
      },
    ),
  ),
  transformer: about(
    'Positions attend to each other and then to a context, such as the states of a text: what conditioning by text or boxes needs (Rombach et al. 2022, section 3.3).',
    describedRecord(
      {
        contextDim: about(
          'Channels of the context: the width of what the conditioning gives, such as 768 of the text encoder of Stable Diffusion 1.',
          width,
          768,
        ),
      },
      {
        depth: about(
          'Transformer blocks in a row, one number for all levels or one for each; the middle has as many as the last level. More follow the text better, and cost time.',
          withDefault(orList(depthOrNone, { min: 1, max: mostLevels }), 1),
        ),
        widenHeads: about(
          "Whether heads by channels that do not divide a level's width are widened to the whole width; true is what the published models do [legacy].",
          withDefault(flag, true),
        ),
      },
      {
        projection: about(
          'What leads into the blocks and out of them: 1x1 convolutions ("conv", where left out), or linear layers as in Stable Diffusion 2 and XL [use_linear_in_transformer].',
          word(['conv', 'linear']),
        ),
        contextOnlyFactors: about(
          'Factors of downsampling at which both attentions see the context, and none the positions [disable_self_attentions]; cheaper at large resolutions.',
          places,
          [1],
        ),
        middleDepth: about(
          'Blocks in a row in the middle, where it has others than the last level [transformer_depth_middle].',
          depthOrNone,
          1,
        ),
      },
    ),
  ),
})
/** `attention`, decoded. */
export type AttentionConfig = Decoded<typeof attention>

const required = {
  inChannels: about(
    "Channels of what is denoised: the first stage's latentChannels, or 3 of pictures; what lies beside x_t is added by itself.",
    width,
    4,
  ),
  modelChannels: about(
    'Channels at full resolution, a multiple of 32; parameters and time grow with its square. 64 suits small pictures, Stable Diffusion has 320.',
    width,
    64,
  ),
  resBlocks: about(
    'Residual blocks a level on the way down, one more on the way up; more of them see more, in proportionally more time.',
    depth,
    2,
  ),
  attentionFactors: about(
    'Factors of downsampling at which blocks have attention: 1 is full resolution, 2 the next level [attention_resolutions]. Its memory grows with the square of the positions, so large resolutions go without.',
    places,
    [2, 4],
  ),
  heads: about('How the channels of an attention are divided into heads.', heads),
}
const defaulted = {
  channelMultipliers: about(
    'Channels of each level as multiples of modelChannels, from full resolution down; every level but the last halves the resolution, so the list also says how deep the network is.',
    withDefault(multipliers, [1, 2, 4, 8]),
  ),
  resample: about(
    'What stands between levels: a strided convolution, plain means and repetition without weights, or a residual block around these.',
    withDefault(word(['conv', 'plain', 'residual']), 'conv'),
  ),
  scaleShiftNorm: about(
    'Whether the timestep scales and shifts the result of the second norm, rather than being added before it (Dhariwal and Nichol 2021).',
    withDefault(flag, false),
  ),
  dropout: about(
    'Share of activations that is dropped while training; more of it holds off overfitting to few pictures, and slows learning.',
    withDefault(dropoutRate, 0),
  ),
}

/** What a network is told beside x and the timesteps. */
const conditioned = {
  attention: about(
    'What positions attend to: each other, or each other and a context.',
    withOwnDefaults(attention, { kind: 'self' }),
  ),
  classes: about(
    'How many class labels are embedded and added to the timestep; null for none. Filled in from the data where conditioning is by class.',
    withDefault(nullable(width), null),
  ),
}
const optional = {
  vector: about(
    'Numbers of a vector that is added to the timestep embedding through two dense layers, as the sizes in Stable Diffusion XL [adm_in_channels].',
    width,
    8,
  ),
}
/** What other networks of this family do otherwise: those of DDPM, and of diffusers' `UNet2DModel`. */
const other = {
  timesteps: about(
    "How timesteps are embedded: cosines first, where left out, or sines first with their frequencies spread over one less, as in DDPM's code [flip_sin_to_cos, freq_shift].",
    word(['cosines-first', 'sines-first']),
  ),
  downPadding: about(
    'Where strided convolutions pad with zeros: "around" the map, where left out, or "behind", at its right and bottom alone, as autoencoders do [downsample_padding].',
    word(['around', 'behind']),
  ),
  norm: about(
    'All group normalisations; 32 groups and 1e-5 where left out.',
    describedRecord(
      {},
      {
        groups: about(
          'Groups of channels that are normalised together; it must divide the channels of every level.',
          withDefault(width, 32),
        ),
        eps: about(
          'What is added to the variance before its root, so that a flat group is not divided by 0.',
          withDefault(number({ min: 1e-12, max: 1 }), 1e-5),
        ),
      },
    ),
  ),
}
/** What all networks of this family are declared by. */
export const trunkFields = { required, defaulted, conditioned, optional }

/** The U-Net, as declared in experiments. In brackets the names of the reference's configuration. */
export const unetConfig = describedRecord(
  {
    ...required,
    outChannels: about(
      'Channels of what it predicts: as many as inChannels, twice as many where the variance is learned.',
      width,
      4,
    ),
  },
  {
    ...defaulted,
    ...conditioned,
    codebook: about(
      'Predict logits over the entries of a codebook of this size instead of outChannels; null for none [n_embed].',
      withDefault(nullable(entries), null),
    ),
  },
  { ...optional, ...other },
)
/** `unetConfig`, decoded. */
export type UNetConfig = Decoded<typeof unetConfig>

/** Ways to pool a map to a vector, by the reference's names. */
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
/** `encoderUNetConfig`, decoded. */
export type EncoderUNetConfig = Decoded<typeof encoderUNetConfig>

/** What both have in common. */
export type TrunkConfig = Pick<
  UNetConfig,
  keyof typeof required | keyof typeof defaulted | 'attention' | keyof typeof other
>
