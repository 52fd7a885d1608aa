import { executorNames } from '../execute/names.ts'
import { adoptedWeight, adversarialFields } from '../losses/index.ts'
import { autoencoderConfig } from '../nn/autoencoder/config.ts'
import { discriminatorConfig } from '../nn/discriminator.ts'
import { perceptualHeads } from '../nn/lpips.ts'
import { unetConfig } from '../nn/unet/config.ts'
import { restartConfig } from '../optimizers/index.ts'
import { type Decoded, flag, integer, list, number, record, tagged, text, withDefault, word } from '../schema.ts'

/**
 * An experiment as a document: what `experiment.json` holds. Every field is checked, unknown keys are refused, and
 * the decoded document has every default filled in.
 */

const count = integer({ min: 1 })
const positive = number({ above: 0 })
const fraction = number({ min: 0, max: 1 })

const picture = { size: withDefault(integer({ min: 8 }), 32), heldOut: withDefault(integer({ min: 1 }), 100) }
export const dataSource = tagged('kind', {
  /** The pictures of the npm package `emoji-datasource-twitter`, classes by category. */
  emoji: record({}, picture),
  /** A folder with `metadata.jsonl`, or with one folder a class; relative to the experiment's file. */
  folder: record({ path: text }, picture),
  /** A folder of label maps, as `folder` has it: a pixel's grey value is its label. One channel a label, 1 where it is, else -1. */
  segmentation: record({ path: text, labels: integer({ min: 2, max: 256 }) }, picture),
})

const learningRate = tagged('kind', {
  constant: record({ rate: positive }),
  'warm-up': record({ rate: positive, warmUp: count }),
  /** Down to `floor` times the rate at the last step. */
  'warm-up-cosine': record({ rate: positive, warmUp: count }, { floor: withDefault(fraction, 0) }),
})

const betas = withDefault(list(number({ min: 0, max: 0.999999 }), { min: 2 }), [0.9, 0.999])
const optimizer = tagged('kind', {
  adam: record({}, { betas, eps: withDefault(positive, 1e-8), weightDecay: withDefault(number({ min: 0 }), 0) }),
  /** Decoupled weight decay. */
  adamw: record({}, { betas, eps: withDefault(positive, 1e-8), weightDecay: withDefault(number({ min: 0 }), 0.01) }),
  sgd: record({}, { momentum: withDefault(fraction, 0), weightDecay: withDefault(number({ min: 0 }), 0) }),
})

export const training = record(
  { steps: count, batchSize: count, optimizer, learningRate },
  {
    /**
     * Equal parts of the batch, whose gradients are averaged; they are computed side by side where the processor has cores for it,
     * which small networks gain from.
     */
    microBatches: withDefault(count, 1),
    /** Pictures are mirrored with probability 1/2. */
    flip: withDefault(flag, false),
    logEvery: withDefault(count, 50),
    previewEvery: withDefault(count, 500),
    checkpointEvery: withDefault(count, 500),
  },
  {
    /** Gradients are scaled down to at most this global norm. */
    clipNorm: positive,
    /** Decay of the exponential moving average of the weights, used for sampling; rises with (1 + n)/(10 + n). */
    emaDecay: number({ min: 0, max: 0.9999999 }),
  },
)
export type Training = Decoded<typeof training>

const nonNegative = number({ min: 0 })

/** LPIPS (Zhang et al. 2018), beside the error of the pixels. */
const perceptual = withDefault(
  record(
    {},
    {
      weight: withDefault(nonNegative, 0),
      /** Channels weighed as LPIPS has learned to, or all alike: then VGG16 is all that is needed. */
      heads: withDefault(word(perceptualHeads), 'learned'),
      /**
       * Where the weights are, torch or safetensors: torchvision's `vgg16-397923af.pth` and taming-transformers' `vgg.pth`,
       * or a checkpoint of the reference; relative to the working folder.
       */
      files: withDefault(list(text), []),
    },
  ),
  { weight: 0, heads: 'learned', files: [] },
)
const pixel = withDefault(word(['l1', 'l2']), 'l1')

/** A discriminator that judges reconstructions, trained beside the autoencoder. */
export const adversarial = record(
  {
    /** How much the contest counts from when on [disc_start, disc_factor]. */
    factor: adoptedWeight,
  },
  {
    ...adversarialFields,
    discriminator: withDefault(discriminatorConfig, { channels: 64, layers: 3, norm: 'batch' }),
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
      'label-map': record({ path: text, labels: integer({ min: 2, max: 256 }) }),
    }),
    /** The discriminator's; the autoencoder's where left out. */
    optimizer,
    learningRate,
  },
)
export type Adversarial = Decoded<typeof adversarial>

const entries = integer({ min: 2 })
const usedCodes = list(integer({ min: 0 }), { min: 1 })
const quantizer = tagged('kind', {
  /** The nearest vector of a codebook (van den Oord et al. 2017). */
  nearest: record(
    { entries },
    {
      beta: withDefault(nonNegative, 0.25),
      /** The term that beta weighs; `legacyBeta` is the slip that the published models were trained with. */
      weighs: withDefault(word(['beta', 'legacyBeta']), 'beta'),
    },
    {
      /** Codes chosen fewer than `below` times within `every` steps move to where latents are (Dhariwal et al. 2020). */
      restart: restartConfig,
      /** Codes are numbered anew, by their place among some that are used (`remap` of `VectorQuantizer2`). */
      remap: record(
        { used: usedCodes },
        {
          /** What the number of any other code is: one of the used by chance, one further number, or this one. */
          unknown: withDefault(
            tagged('kind', { random: record({}), extra: record({}), index: record({ index: integer({ min: 0 }) }) }),
            { kind: 'random' },
          ),
        },
      ),
    },
  ),
  /** A mixture of a codebook's vectors, ever harder (Jang et al. 2017). */
  gumbel: record(
    { entries },
    {
      /** Of the divergence from the uniform distribution over codes. */
      klWeight: withDefault(nonNegative, 5e-4),
      /** One code a position while training too. */
      hard: withDefault(flag, true),
      /** Falls from `start` to `end` by a cosine over `steps` steps. */
      temperature: withDefault(
        record(
          {},
          { start: withDefault(positive, 1), end: withDefault(positive, 0.0625), steps: withDefault(count, 10000) },
        ),
        {
          start: 1,
          end: 0.0625,
          steps: 10000,
        },
      ),
    },
    {
      /** Only these codes may be chosen; they are numbered by their place here. */
      used: usedCodes,
    },
  ),
})
export type Quantizer = Decoded<typeof quantizer>

export const firstStage = tagged('kind', {
  /** The autoencoder with a diagonal Gaussian posterior (Kingma and Welling 2014; `AutoencoderKL`). */
  kl: record(
    {
      network: autoencoderConfig,
      loss: record(
        {},
        {
          pixel,
          klWeight: withDefault(nonNegative, 1e-6),
          perceptual,
          /** Log-variance of the output: a number, or learnt from it on. */
          logvar: withDefault(record({}, { initial: withDefault(number(), 0), learned: withDefault(flag, false) }), {
            initial: 0,
            learned: false,
          }),
        },
        {
          /** How much each pixel counts in the reconstruction (not in what weighs the contest); 1 where left out. */
          weights: tagged('kind', {
            /** What is transparent counts so much, what is opaque 1. */
            transparency: record({}, { transparent: withDefault(nonNegative, 0) }),
            /** Pixels of label maps by their label. */
            labels: record({ weights: list(nonNegative, { min: 2 }) }),
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
      loss: record({}, { pixel, codebookWeight: withDefault(nonNegative, 1), perceptual }),
      training,
    },
    {},
    { adversarial },
  ),
})
export type FirstStage = Decoded<typeof firstStage>

const ends = { betaStart: withDefault(positive, 1e-4), betaEnd: withDefault(positive, 0.02) }
const timesteps = { timesteps: withDefault(integer({ min: 2 }), 1000) }
export const noiseSchedule = tagged('kind', {
  linear: record({}, { ...timesteps, ...ends }),
  'scaled-linear': record({}, { ...timesteps, ...ends }),
  sqrt: record({}, { ...timesteps, ...ends }),
  cosine: record({}, { ...timesteps, offset: withDefault(positive, 0.008) }),
})

export const conditioning = tagged('kind', {
  none: record({}),
  /** The data's classes; dropped with this probability in training, so that guidance has an unconditional model. */
  class: record({}, { dropout: withDefault(fraction, 0.1) }),
})

export const diffusion = record(
  {
    schedule: noiseSchedule,
    /** `classes` is filled in from the data where conditioning is by class. */
    unet: unetConfig,
    training,
  },
  {
    predicts: withDefault(word(['eps', 'x0', 'v']), 'eps'),
    loss: withDefault(word(['l1', 'l2']), 'l2'),
    /** Weight of the variational bound beside the simple loss. */
    elboWeight: withDefault(number({ min: 0 }), 0),
    conditioning: withDefault(conditioning, { kind: 'none' }),
    /** Of a quantised first stage, the latents before they are quantised (`VQModelInterface`), or the vectors of their codes. */
    latents: withDefault(word(['unquantised', 'quantised']), 'unquantised'),
    /** Latents are multiplied by 1 / their standard deviation, or by a given number. */
    latentScale: withDefault(tagged('kind', { measured: record({}), fixed: record({ value: positive }) }), {
      kind: 'measured',
    }),
  },
)
export type Diffusion = Decoded<typeof diffusion>

export const samplerNames = ['ddim', 'ddpm'] as const
export const sampling = record(
  {},
  {
    sampler: withDefault(word(samplerNames), 'ddim'),
    steps: withDefault(count, 50),
    spacing: withDefault(word(['uniform', 'quad']), 'uniform'),
    eta: withDefault(number({ min: 0 }), 0),
    /** Scale of classifier-free guidance; 1 is the conditional model. */
    guidance: withDefault(number({ min: 0 }), 1),
    /** Pictures a class, or in all without classes. */
    perClass: withDefault(count, 8),
  },
)
export type Sampling = Decoded<typeof sampling>

export const experiment = record(
  { name: text, data: dataSource, firstStage },
  {
    /** Names the document's JSON Schema for editors. */
    $schema: withDefault(text, ''),
    seed: withDefault(integer({ min: 0 }), 0),
    executor: withDefault(word(['auto', ...executorNames]), 'auto'),
    sampling: withDefault(sampling, {
      sampler: 'ddim',
      steps: 50,
      spacing: 'uniform',
      eta: 0,
      guidance: 1,
      perClass: 8,
    }),
  },
  { diffusion },
)
export type Experiment = Decoded<typeof experiment>
