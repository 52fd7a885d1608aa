import { emojiCategories } from '../data/emoji.ts'
import { executorNames } from '../execute/names.ts'
import { halves } from '../graph/types.ts'
import { adoptedWeight, adversarialFields, norms, vqAutoencoderDefaults } from '../losses/index.ts'
import { autoencoderConfig } from '../nn/autoencoder/config.ts'
import { discriminatorConfig } from '../nn/discriminator.ts'
import { lpipsDefaults, perceptualHeads } from '../nn/lpips.ts'
import { gumbelQuantizerFields, gumbelTemperature, vectorQuantizerFields } from '../nn/quantize.ts'
import { unetConfig } from '../nn/unet/config.ts'
import { adamDefaults, adamWDefaults, restartConfig, sgdDefaults } from '../optimizers/index.ts'
import {
  type Decoded,
  flag,
  integer,
  list,
  nonEmpty,
  number,
  record,
  tagged,
  text,
  withDefault,
  withOwnDefaults,
  word,
} from '../schema.ts'
import { adapter } from './adapter.ts'
import { conditioning } from './conditioning.ts'
import { learningRate } from './learning-rate.ts'
import { objectiveFields, optionalObjectiveFields } from './objective.ts'
import { postHocEma } from './post-hoc-ema.ts'
import { sampling } from './sampling.ts'
import { noiseSchedule } from './schedule.ts'
import { validation } from './validation.ts'

/**
 * An experiment as a document: what `experiment.json` holds. Every field is checked, unknown keys are refused, and
 * the decoded document has every default filled in.
 */

/** Of steps, pictures, or both together. */
const count = integer({ min: 1, max: 1e9 })
/** Of a term of a loss: its square is a float32 still. */
const weight = number({ min: 0, max: 1e6 })

const picture = { size: withDefault(integer({ min: 8, max: 2048 }), 32) }
/** Pictures that are not trained on; the lesser of 100 and a tenth where left out. */
const heldOut = { heldOut: integer({ min: 1, max: 1e6 }) }
export const dataSource = tagged('kind', {
  /** The pictures of the npm package `emoji-datasource-twitter`, classes by category. */
  emoji: record({}, picture, { ...heldOut, categories: list(word(emojiCategories), { min: 1 }) }),
  /** Generated pictures of coloured shapes with captions that say exactly what is there. */
  shapes: record({}, { ...picture, count: withDefault(integer({ min: 2, max: 1e6 }), 6000) }, heldOut),
  /** A folder with `metadata.jsonl`, or with one folder a class; relative to the experiment's file. */
  folder: record({ path: nonEmpty }, picture, heldOut),
  /** A folder of label maps, as `folder` has it: a pixel's grey value is its label. One channel a label, 1 where it is, else -1. */
  segmentation: record({ path: nonEmpty, labels: integer({ min: 2, max: 256 }) }, picture, heldOut),
})

/** The share of the past in a running average: at 1 nothing new would come in. */
const share = number({ min: 0, max: 0.999999 })
const betas = withDefault(list(share, { min: 2, max: 2 }), adamDefaults.betas)
const eps = withDefault(number({ min: 1e-20, max: 1 }), adamDefaults.eps)
const decay = number({ min: 0, max: 1e4 })
const optimizer = tagged('kind', {
  adam: record({}, { betas, eps, weightDecay: withDefault(decay, adamDefaults.weightDecay) }),
  /** Decoupled weight decay. */
  adamw: record({}, { betas, eps, weightDecay: withDefault(decay, adamWDefaults.weightDecay) }),
  sgd: record(
    {},
    {
      momentum: withDefault(share, sgdDefaults.momentum),
      weightDecay: withDefault(decay, sgdDefaults.weightDecay),
    },
  ),
})

export const training = record(
  { steps: count, batchSize: integer({ min: 1, max: 65536 }), optimizer, learningRate },
  {
    /**
     * Equal parts of the batch, whose gradients are averaged; they are computed side by side where the processor has cores for it,
     * which small networks gain from.
     */
    microBatches: withDefault(integer({ min: 1, max: 64 }), 1),
    /** Batches of a step, run one after another in the memory of one: `batchSize` times as many pictures. */
    accumulate: withDefault(integer({ min: 1, max: 1024 }), 1),
    /**
     * What products and the activations between them are computed in. Parameters, moments, statistics of norms, softmax, losses and
     * gradients of weights are float32 in any case. In float16 the loss is scaled, as far as its gradients stay finite.
     */
    precision: withDefault(word(['float32', ...halves]), 'float32'),
    /** Pictures are mirrored with probability 1/2. */
    flip: withDefault(flag, false),
    logEvery: withDefault(count, 50),
    previewEvery: withDefault(count, 500),
    checkpointEvery: withDefault(count, 500),
  },
  {
    /** Gradients are scaled down to at most this global norm. */
    clipNorm: number({ min: 1e-6, max: 1e6 }),
    /** Decay of the exponential moving average of the weights, used for sampling; rises with (1 + n)/(10 + n). */
    emaDecay: number({ min: 0, max: 0.9999999 }),
    postHocEma,
    /** MiB that a batch may need at a time; what is not kept for the backward pass is computed a second time. */
    memoryBudget: integer({ min: 1, max: 2 ** 24 }),
    validate: validation,
  },
)
export type Training = Decoded<typeof training>
/** Pictures that a step of the optimiser learns from. */
export const effectiveBatch = ({ batchSize, accumulate }: Training): number => batchSize * accumulate

/** LPIPS (Zhang et al. 2018), beside the error of the pixels. */
const perceptual = withOwnDefaults(
  record(
    {},
    {
      weight: withDefault(weight, 0),
      /** Channels weighed as LPIPS has learned to, or all alike: then VGG16 is all that is needed. */
      heads: withDefault(word(perceptualHeads), lpipsDefaults.heads),
      /**
       * Where the weights are, torch or safetensors: torchvision's `vgg16-397923af.pth` and taming-transformers' `vgg.pth`,
       * or a checkpoint of the reference; relative to the working folder.
       */
      files: withDefault(list(nonEmpty, { max: 8 }), []),
    },
  ),
)
const pixel = withDefault(word(norms), vqAutoencoderDefaults.norm)

/** A discriminator that judges reconstructions, trained beside the autoencoder. */
export const adversarial = record(
  {
    /** How much the contest counts from when on [disc_start, disc_factor]. */
    factor: adoptedWeight,
  },
  {
    ...adversarialFields,
    discriminator: withOwnDefaults(discriminatorConfig),
    /**
     * Whether both sides answer to one forward pass, or the discriminator to a second one, of the autoencoder just updated, as
     * in the reference, at about 1.4 times the work.
     */
    order: withDefault(word(['simultaneous', 'alternating']), 'simultaneous'),
  },
  {
    /** What the discriminator sees beside the pictures, as further channels; nothing where left out. */
    condition: tagged('kind', {
      /** The class of each picture: one channel a class, 1 everywhere in its own. */
      class: record({}),
      /**
       * The label of each pixel: one channel a label. A folder of label maps under the pictures' names, as `segmentation` reads them,
       * relative to the experiment's file.
       */
      'label-map': record({ path: nonEmpty, labels: integer({ min: 2, max: 256 }) }),
    }),
    /** The discriminator's; the autoencoder's where left out. */
    optimizer,
    learningRate,
  },
)
export type Adversarial = Decoded<typeof adversarial>

const mostEntries = 2 ** 20
const entries = integer({ min: 2, max: mostEntries })
const code = integer({ min: 0, max: mostEntries - 1 })
const usedCodes = list(code, { min: 1, max: mostEntries })
/** Logits are divided by it. */
const temperature = number({ min: 1e-3, max: 1e3 })
const quantizer = tagged('kind', {
  /** The nearest vector of a codebook (van den Oord et al. 2017). */
  nearest: record({ entries }, vectorQuantizerFields, {
    /** Codes chosen fewer than `below` times within `every` steps move to where latents are (Dhariwal et al. 2020). */
    restart: restartConfig,
    /** Codes are numbered anew, by their place among some that are used (`remap` of `VectorQuantizer2`). */
    remap: record(
      { used: usedCodes },
      {
        /** What the number of any other code is: one of the used by chance, one further number, or this one. */
        unknown: withDefault(
          tagged('kind', { random: record({}), extra: record({}), index: record({ index: code }) }),
          { kind: 'random' },
        ),
      },
    ),
  }),
  /** A mixture of a codebook's vectors, ever harder (Jang et al. 2017). */
  gumbel: record(
    { entries },
    {
      ...gumbelQuantizerFields,
      /** Falls from `start` to `end` by a cosine over `steps` steps. */
      temperature: withOwnDefaults(
        record(
          {},
          {
            start: withDefault(temperature, gumbelTemperature),
            end: withDefault(temperature, 0.0625),
            steps: withDefault(count, 10000),
          },
        ),
      ),
    },
    {
      /** Only these codes may be chosen; they are numbered by their place here. */
      used: usedCodes,
    },
  ),
})
export type Quantizer = Decoded<typeof quantizer>

const autoencoders = {
  /** The autoencoder with a diagonal Gaussian posterior (Kingma and Welling 2014; `AutoencoderKL`). */
  kl: record(
    {
      network: autoencoderConfig,
      loss: record(
        {},
        {
          pixel,
          klWeight: withDefault(weight, 1e-6),
          perceptual,
          /** Log-variance of the output: a number, or learnt from it on. */
          logvar: withOwnDefaults(
            record({}, { initial: withDefault(number({ min: -30, max: 20 }), 0), learned: withDefault(flag, false) }),
          ),
        },
        {
          /** How much each pixel counts in the reconstruction (not in what weighs the contest); 1 where left out. */
          weights: tagged('kind', {
            /** What is transparent counts so much, what is opaque 1. */
            transparency: record({}, { transparent: withDefault(weight, 0) }),
            /** Pixels of label maps by their label. */
            labels: record({ weights: list(weight, { min: 2, max: 256 }) }),
          }),
        },
      ),
      training,
    },
    {},
    { adversarial },
  ),
  /** The autoencoder with quantised latents (van den Oord et al. 2017, Esser et al. 2021; `VQModel`). */
  vq: record(
    {
      network: autoencoderConfig,
      quantizer,
      loss: record(
        {},
        { pixel, codebookWeight: withDefault(weight, vqAutoencoderDefaults.codebookWeight), perceptual },
      ),
      training,
    },
    {},
    { adversarial },
  ),
}
/** A first stage that is trained. */
export const firstStage = tagged('kind', autoencoders)
export type FirstStage = Decoded<typeof firstStage>
const pictureSpace = tagged('kind', {
  ...autoencoders,
  /** None: pictures are the latents (Ho et al. 2020). */
  identity: record(
    {},
    {
      /** Predictions of x_0 are kept in [-1, 1] while sampling [clip_denoised]. */
      clip: withDefault(flag, true),
    },
  ),
})

const latentScale = tagged('kind', {
  measured: record({}),
  fixed: record({ value: number({ min: 1e-6, max: 1e6 }) }),
})
export type LatentScale = Decoded<typeof latentScale>

export const diffusion = record(
  {
    schedule: noiseSchedule,
    /** `classes` is filled in from the data where conditioning is by class. */
    unet: unetConfig,
    training,
  },
  {
    ...objectiveFields,
    conditioning: withDefault(conditioning, { kind: 'none' }),
    /** Of a quantised first stage, the latents before they are quantised (`VQModelInterface`), or the vectors of their codes. */
    latents: withDefault(word(['unquantised', 'quantised']), 'unquantised'),
  },
  {
    /**
     * Latents are multiplied by 1 / their standard deviation, or by a given number. Where left out, measured of an autoencoder,
     * and fixed at 1 of pictures.
     */
    latentScale,
    ...optionalObjectiveFields,
    /** Trained beside the U-Net of another run, whose weights stay as they are; so do first stage and conditioner. */
    adapter,
  },
)
export type Diffusion = Decoded<typeof diffusion>

export const experiment = record(
  { name: nonEmpty, data: dataSource, firstStage: pictureSpace },
  {
    /** Names the document's JSON Schema for editors. */
    $schema: withDefault(text, ''),
    seed: withDefault(integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), 0),
    executor: withDefault(word(['auto', ...executorNames]), 'auto'),
    sampling: withOwnDefaults(sampling),
  },
  { diffusion },
)
export type Experiment = Decoded<typeof experiment>

/** The first stage that an experiment trains; undefined where diffusion is on pictures themselves. */
export const autoencoderOf = ({ firstStage }: Experiment): FirstStage | undefined =>
  firstStage.kind === 'identity' ? undefined : firstStage
