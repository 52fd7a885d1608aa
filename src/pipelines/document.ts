import { noiseSchedule } from '../experiment/schedule.ts'
import { textEncoder, textEncoderFields } from '../experiment/text-encoders.ts'
import { autoencoderConfig } from '../nn/autoencoder/config.ts'
import { tinyAutoencoderConfig } from '../nn/autoencoder/tiny.ts'
import { entries, side, width } from '../nn/bounds.ts'
import { spatialRescalerConfig } from '../nn/resize.ts'
import { transformerEmbedderConfig } from '../nn/text/bert.ts'
import { unetConfig } from '../nn/unet/config.ts'
import { schedulerConfig } from '../samplers/diffusers/config.ts'
import { schedulerNames } from '../samplers/diffusers/schedulers.ts'
import {
  type Decoded,
  flag,
  integer,
  list,
  nonEmpty,
  nullable,
  number,
  record,
  tagged,
  withDefault,
  word,
} from '../schema.ts'

/** A published model as it is kept: all that its networks, its conditions and its sampling are, without a number of its weights. */

const factor = number({ min: 1e-6, max: 1e6 })
const scaled = {
  /** What latents are multiplied by before diffusion sees them. */
  scale: withDefault(factor, 1),
  /** Whether that was measured, and so is among the arrays of the original's checkpoints [scale_by_std]. */
  measured: withDefault(flag, false),
  /** What is taken from latents before that. */
  shift: withDefault(number({ min: -1e6, max: 1e6 }), 0),
}
const networks = {
  kl: record({ network: autoencoderConfig }, scaled),
  /** Quantised when it is decoded. */
  vq: record({ network: autoencoderConfig, entries }, scaled),
  tiny: record({ network: tinyAutoencoderConfig }, scaled),
}
/** A first stage that is a network. */
export const networked = tagged('kind', networks)
export type Networked = Decoded<typeof networked>
/** `pixels`: none, diffusion takes place on pictures. */
const firstStage = tagged('kind', { ...networks, pixels: record({ channels: width }) })
export type FirstStage = Decoded<typeof firstStage>

/** Channels beside x_t that come with a request. */
const beside = tagged('kind', {
  /** A picture as large as the latents [`LR_image`]. */
  'low-resolution': record({ channels: width }),
  /** Latents of the picture without what is to be drawn, unscaled, and the mask in [-1, 1] [`masked_image`]. */
  'masked-latents': record({}),
  /** The mask, 1 where is to be drawn, and scaled latents of the rest [Stable Diffusion's inpainting]. */
  'mask-and-latents': record({}),
  /** Depth between -1 and 1 [Stable Diffusion 2's depth]. */
  depth: record({}),
  /** Latents of a picture, unscaled [InstructPix2Pix]. */
  'picture-latents': record({}),
  /** The label of each pixel, one channel a label, made as small as the latents [`segmentation`, `SpatialRescaler`]. */
  'label-map': record({ labels: integer({ min: 2, max: 256 }), rescaler: spatialRescalerConfig }),
})
export type Beside = Decoded<typeof beside>

/** How a text becomes tokens: by the files of a folder beside the document, or by CLIP's vocabulary, which is in this package. */
const tokenizer = tagged('from', {
  folder: record({ name: word(['tokenizer', 'tokenizer_2']) }),
  clip: record(
    {},
    { pad: withDefault(nullable(nonEmpty), null), cleaning: withDefault(word(['openai', 'transformers']), 'openai') },
  ),
})
export type TokenizerOrigin = Decoded<typeof tokenizer>

const textPart = record({ encoder: textEncoder, tokenizer }, textEncoderFields)
export type TextPart = Decoded<typeof textPart>

const conditioning = record(
  {},
  {
    /** Encoders of texts, whose states stand beside each other on the last axis. */
    text: withDefault(list(textPart, { max: 4 }), []),
    /**
     * Sizes of the picture, of which it is cropped and that it is to have: each number embedded in so many, behind the pooled text.
     * `aesthetic`: how pleasing it is, one number, in the place of the last two [the refiner of XL].
     */
    sizes: withDefault(nullable(record({ dim: width }, { aesthetic: withDefault(flag, false) })), null),
    /** Whether no negative text is zeros, and not an empty text [force_zeros_for_empty_prompt]. */
    zerosForNothing: withDefault(flag, false),
    /** Labels as one token each [`ClassEmbedder`]. */
    classes: withDefault(nullable(record({ entries, dim: width })), null),
    /** Boxes as tokens, three for each, through a transformer [`coordinates_bbox`, `BERTEmbedder`]. */
    boxes: withDefault(nullable(record({ encoder: transformerEmbedderConfig })), null),
    beside: withDefault(nullable(beside), null),
  },
)

const sampling = tagged('by', {
  /** A scheduler of diffusers. */
  diffusers: record({ scheduler: word(schedulerNames), config: schedulerConfig }),
  /** The samplers of CompVis' own scripts. */
  compvis: record(
    { schedule: noiseSchedule },
    {
      sampler: withDefault(word(['ddim', 'plms']), 'plms'),
      /** alpha-bar at each timestep where the checkpoint has other ones than the schedule, as files in float16 do: these are sampled by. */
      alphasCumprod: withDefault(nullable(list(number({ min: 0, max: 1 }), { min: 2 })), null),
    },
  ),
})
export type PipelineSampling = Decoded<typeof sampling>

export const pipelineDocument = record(
  {
    /** What it was recognised as. */
    model: nonEmpty,
    firstStage,
    unet: unetConfig,
    /** Side of the latents of pictures where no size is asked for. */
    side,
    predicts: word(['eps', 'x0', 'v', 'flow']),
    conditioning,
    sampling,
  },
  {
    /** Where a request says nothing: guidance 1 is none. */
    steps: withDefault(integer({ min: 1, max: 1000 }), 30),
    guidance: withDefault(number({ min: 0, max: 1000 }), 7.5),
  },
)
export type PipelineDocument = Decoded<typeof pipelineDocument>
