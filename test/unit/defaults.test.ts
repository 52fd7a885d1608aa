/** Longer than 400 lines: what is left out stands in one table, beside what is documented of it. */

import { describe, expect, test } from 'vitest'
import { constant, freeze, input, noise, scalar, type Tensor, vector } from '../../src/declare/index.ts'
import { denoiser } from '../../src/diffusion/denoiser.ts'
import { denoisingLoss } from '../../src/diffusion/denoising-loss.ts'
import { ddpmLoss, fixedLogvar, latentDiffusionLoss } from '../../src/diffusion/objective.ts'
import { discreteProcess, flowProcess } from '../../src/diffusion/process.ts'
import { approximateNormalCdf, discretizedLogLikelihood } from '../../src/distributions/discretized-gaussian.ts'
import { gaussian, logvarBounds } from '../../src/distributions/gaussian.ts'
import type { Checked } from '../../src/error.ts'
import { adversarial, diffusion, firstStage, training } from '../../src/experiment/document.ts'
import { objectiveFields } from '../../src/experiment/objective.ts'
import { noiseSchedule } from '../../src/experiment/schedule.ts'
import { encodeGraph } from '../../src/graph/codec.ts'
import { float, int } from '../../src/graph/types.ts'
import { klAutoencoderLoss, lambda, vqAutoencoderLoss, weightAt } from '../../src/losses/index.ts'
import {
  actNorm,
  attnBlock,
  autoencoderBlocks,
  basicTransformerBlock,
  batchNorm,
  conv1d,
  conv2d,
  feedForward,
  groupNorm,
  gumbelQuantizer,
  layerNorm,
  linear,
  lpips,
  spatialTransformer,
  timestepEmbedding,
  unetBlocks,
} from '../../src/nn/index.ts'
import { adam, adamW, ema, emaDecay, type Optimizer, scalarInputs, sgd } from '../../src/optimizers/index.ts'
import { RR } from '../../src/prelude.ts'
import { learningRate } from '../../src/schedulers/learning-rate.ts'
import { noiseSchedule as scheduleOf } from '../../src/schedulers/noise-schedule.ts'
import { decode, record } from '../../src/schema.ts'
import { right } from '../arbitrary/run.ts'

/**
 * What is documented, written down once more: a default is a promise to those who left it out. One file, however long, since it is one
 * table.
 */

/** A graph as data: all that an option can change in it. */
const graph = (outputs: Readonly<Record<string, Tensor>>): unknown => encodeGraph(right(freeze(outputs)))
const x = input('x', float(2, 64, 4, 4))
const sequence = input('x', float(2, 8, 5))
const w = input('w', float(3))
const stepOf = (optimizer: Optimizer): unknown => {
  const [parameters, gradients] = [{ w }, { w: input('g', float(3)) }]
  const scalars = scalarInputs('optimizer', optimizer.scalars)
  const next = optimizer.update({ parameters, gradients, state: optimizer.init('optimizer', parameters), scalars })
  return [optimizer.at({ step: 3, rate: 0.5 }), graph(next.parameters)]
}
const schedule = (config: Parameters<typeof scheduleOf>[0]): unknown => right(scheduleOf(config)).posteriorVariance
const short = right(scheduleOf({ kind: 'linear', timesteps: 10 }))
const picture = { inputs: input('y', float(1, 3, 2, 2)), reconstructions: input('x', float(1, 3, 2, 2)) }
const noisy = { x0: input('x0', float(1, 3)), eps: noise('eps', [1, 3]), t: constant([3], int(1)) }
const guess = denoiser('eps', (xt) => xt)
const logits = input('z', float(1, 3, 1, 2))
const cycle = { rate: 1, warmUp: 2, length: 10 }

type Options = Readonly<Record<string, unknown>>
interface Row<O extends Options> {
  /** What is documented, beside another value of each. */
  readonly options: { readonly [K in keyof O]: readonly [documented: O[K], other: O[K]] }
  readonly made: (options: Partial<O>) => unknown
}
const row = <const O extends Options>(options: Row<O>['options'], made: Row<O>['made']) => ({
  left: () => made({}),
  given: () => made(pick(options, () => 0)),
  others: () => Object.keys(options).map((k) => [k, made(pick(options, (name) => (name === k ? 1 : 0)))] as const),
})
const pick = <O extends Options>(options: Row<O>['options'], which: (name: string) => 0 | 1): Partial<O> => {
  const chosen: Partial<O> = {}
  for (const k in options) chosen[k] = options[k][which(k)]
  return chosen
}

const library = {
  adam: row(
    {
      betas: [
        [0.9, 0.999],
        [0.8, 0.99],
      ],
      eps: [1e-8, 1e-6],
      weightDecay: [0, 0.1],
    },
    (o) => stepOf(adam(o)),
  ),
  adamW: row(
    {
      betas: [
        [0.9, 0.999],
        [0.8, 0.99],
      ],
      eps: [1e-8, 1e-6],
      weightDecay: [0.01, 0],
    },
    (o) => stepOf(adamW(o)),
  ),
  sgd: row({ momentum: [0, 0.9], weightDecay: [0, 0.1] }, (o) => stepOf(sgd(o))),
  'ema, in the long run': row({ decay: [0.9999, 0.999] }, (o) => [emaDecay(o, 1e9), ema(o).at(1e9)]),
  'ema, at first': row({ warmUp: [true, false] }, (o) => [emaDecay(o, 5), ema(o).at(5)]),
  'linear schedule': row({ betaStart: [1e-4, 2e-4], betaEnd: [0.02, 0.03], vPosterior: [0, 0.5] }, (o) =>
    schedule({ kind: 'linear', timesteps: 10, ...o }),
  ),
  'scaled-linear schedule': row({ betaStart: [1e-4, 2e-4], betaEnd: [0.02, 0.03], vPosterior: [0, 0.5] }, (o) =>
    schedule({ kind: 'scaled-linear', timesteps: 10, ...o }),
  ),
  'sigmoid schedule': row({ start: [-3, -2], end: [3, 2], temperature: [1, 0.9] }, (o) =>
    schedule({ kind: 'sigmoid', timesteps: 10, ...o }),
  ),
  'sigmoid-beta schedule': row({ betaStart: [1e-4, 2e-4], betaEnd: [0.02, 0.03] }, (o) =>
    schedule({ kind: 'sigmoid-beta', timesteps: 10, ...o }),
  ),
  'cosine-log-snr schedule': row({ logSnrMin: [-15, -10], logSnrMax: [15, 10] }, (o) =>
    schedule({ kind: 'cosine-log-snr', timesteps: 10, ...o }),
  ),
  'any schedule': row({ shift: [1, 2], zeroTerminalSnr: [false, true] }, (o) =>
    schedule({ kind: 'cosine', timesteps: 10, ...o }),
  ),
  'a flow': row({ timesteps: [1000, 100], shift: [1, 2] }, (o) =>
    graph({ y: flowProcess(o).timeOf(input('u', float(2))) }),
  ),
  'cosine schedule': row({ offset: [0.008, 0.01] }, (o) => schedule({ kind: 'cosine', timesteps: 10, ...o })),
  'warm-up-cosine rate': row({ floor: [0, 0.1] }, (o) => learningRate({ kind: 'warm-up-cosine', ...cycle, ...o }, 9)),
  'cosine rate': row({ floor: [0, 0.1] }, (o) => learningRate({ kind: 'cosine', rate: 1, length: 10, ...o }, 9)),
  'polynomial rate': row({ power: [1, 2], floor: [0, 0.1], warmUp: [0, 2] }, (o) =>
    learningRate({ kind: 'polynomial', rate: 1, length: 10, ...o }, 3),
  ),
  'cosine rate with restarts': row({ growth: [1, 2], floor: [0, 0.1], warmUp: [0, 2] }, (o) =>
    learningRate({ kind: 'cosine-restarts', rate: 1, period: 4, ...o }, 5),
  ),
  'one-cycle rate': row(
    {
      rise: [0.3, 0.4],
      start: [0.04, 0.1],
      floor: [4e-6, 0.1],
      anneal: ['cosine', 'linear'],
      threePhase: [false, true],
    },
    (o) => [1, 8, 14].map((step) => learningRate({ kind: 'one-cycle', rate: 1, length: 20, ...o }, step)),
  ),
  'lambda of the contest': row({ weight: [1, 0.5], cap: [1e4, 1e3] }, (o) =>
    graph({ y: lambda(o)(input('a', float()), input('b', float())) }),
  ),
  'KL autoencoder': row({ l1: [1, 2], l2: [0, 1], logvar: [scalar(0), scalar(1)] }, (o) =>
    graph({
      y: klAutoencoderLoss({ klWeight: 1, ...o })({ ...picture, posterior: gaussian(w, w) }).loss,
    }),
  ),
  'VQ autoencoder': row({ norm: ['l1', 'l2'], codebookWeight: [1, 2], perceptualWeight: [1, 2] }, (o) =>
    graph({
      y: vqAutoencoderLoss(o)({ ...picture, codebookLoss: w, perceptual: input('p', float(1, 1, 1, 1)) }).loss,
    }),
  ),
  'diffusion, simple and bound': row({ norm: ['l2', 'l1'], simpleWeight: [1, 2], vlbWeight: [0, 1] }, (o) =>
    graph({ y: ddpmLoss(short, o)(guess, noisy).loss }),
  ),
  'diffusion along any process': row(
    { weighting: [{ kind: 'simple' }, { kind: 'debiased' }], vlbWeight: [0, 1] },
    (o) => graph({ y: denoisingLoss(discreteProcess(short), o)(guess, noisy).loss }),
  ),
  'diffusion, with its log-variance': row({ norm: ['l2', 'l1'], simpleWeight: [1, 2], vlbWeight: [0, 1] }, (o) =>
    graph({ y: latentDiffusionLoss(short, { logvar: fixedLogvar(10), ...o })(guess, noisy).loss }),
  ),
  'discretised Gaussian': row({ outermost: [0.999, 0.99], least: [1e-15, 1e-12] }, (o) =>
    graph({ y: discretizedLogLikelihood(w, o)({ mean: w, logScale: w }) }),
  ),
  'group normalisation': row({ groups: [32, 16], eps: [1e-5, 1e-6] }, (o) => graph({ y: groupNorm('n', o)(x) })),
  'layer normalisation': row({ eps: [1e-5, 1e-6] }, (o) => graph({ y: layerNorm('n', o)(w) })),
  'batch normalisation': row({ training: [false, true], eps: [1e-5, 1e-6] }, (o) =>
    graph({ y: batchNorm('n', o)({ y: x, buffers: {} }).y }),
  ),
  'batch normalisation, its averages': row({ momentum: [0.1, 0.2] }, (o) =>
    graph(batchNorm('n', { training: true, ...o })({ y: x, buffers: {} }).buffers),
  ),
  ActNorm: row({ initialize: [false, true] }, (o) => graph({ y: actNorm('n', o)({ y: x, buffers: {} }).y })),
  convolution: row({ stride: [1, 2], padding: [0, 1], bias: [true, false], trainable: [true, false] }, (o) =>
    graph({ y: conv2d('n', { out: 2, kernel: 3, ...o })(x) }),
  ),
  'convolution of a sequence': row({ bias: [true, false] }, (o) =>
    graph({ y: conv1d('n', { out: 2, ...o })(sequence) }),
  ),
  'linear layer': row({ bias: [true, false] }, (o) => graph({ y: linear('n', { out: 2, ...o })(sequence) })),
  'feed-forward layer': row({ mult: [4, 2], gated: [false, true] }, (o) => graph({ y: feedForward('n', o)(sequence) })),
  'transformer block': row({ gated: [true, false] }, (o) =>
    graph({ y: basicTransformerBlock('n', { heads: 2, headChannels: 4, ...o })(sequence) }),
  ),
  'spatial transformer': row({ depth: [1, 2] }, (o) =>
    graph({ y: spatialTransformer('n', { heads: 2, headChannels: 4, ...o })(x) }),
  ),
  'attention of the autoencoder': row({ groups: [32, 16] }, ({ groups }) =>
    graph({ y: attnBlock('n', ...(groups === undefined ? [] : [groups]))(x) }),
  ),
  'resnet block of the autoencoder': row({ dropout: [0, 0.5], shortcut: ['nin', 'conv'], groups: [32, 16] }, (o) =>
    graph({ y: autoencoderBlocks.resnetBlock('n', { out: 32, ...o })(x) }),
  ),
  'downsampling of the autoencoder': row({ conv: [true, false] }, (o) =>
    graph({ y: autoencoderBlocks.downsample('n', o)(x) }),
  ),
  'upsampling of the autoencoder': row({ conv: [true, false] }, (o) =>
    graph({ y: autoencoderBlocks.upsample('n', o)(x) }),
  ),
  'downsampling of the U-Net': row({ conv: [true, false], out: [64, 32] }, (o) =>
    graph({ y: unetBlocks.downsample('n', o)(x) }),
  ),
  'upsampling of the U-Net': row({ conv: [true, false], out: [64, 32] }, (o) =>
    graph({ y: unetBlocks.upsample('n', o)(x) }),
  ),
  'residual block of the U-Net': row(
    { resample: ['none', 'down'], scaleShiftNorm: [false, true], dropout: [0, 0.5], skipKernel: [1, 3] },
    (o) => graph({ y: unetBlocks.resBlock('n', { embedding: input('e', float(2, 8)), out: 32, ...o })(x) }),
  ),
  'embedding of timesteps': row({ maxPeriod: [10000, 1000] }, (o) => graph({ y: timestepEmbedding(8, o)(noisy.t) })),
  LPIPS: row({ pixels: ['[-1, 1]', '[0, 1]'], heads: ['learned', 'even'] }, (o) => {
    const wide = input('x', float(1, 3, 32, 32))
    return graph({ y: lpips('p', o)(wide, wide).total })
  }),
  'Gumbel quantiser': row({ temperature: [1, 0.5], training: [false, true] }, (o) =>
    graph({
      y: gumbelQuantizer('q', { entries: 4, dim: 2, klWeight: 0, hard: false })(logits, {
        noise: constant([0], float(1, 4, 1, 2)),
        ...o,
      }).y,
    }),
  ),
}

describe.each(Object.entries(library))('what is left out of %s', (_, { left, given, others }) => {
  test('is what is documented', () => {
    expect(left()).toEqual(given())
  })
  test('and would be seen if it were not', () => {
    for (const [name, other] of others()) expect([name, other]).not.toEqual([name, left()])
  })
})

/** What must be given, and what then stands there besides. */
interface Declared {
  readonly decoded: (u: unknown) => Checked<unknown>
  readonly given: Readonly<Record<string, unknown>>
  readonly documented: Readonly<Record<string, unknown>>
}
const sides = { inChannels: 3, outChannels: 3, resBlocks: 1 }
const network = { ...sides, resolution: 32, channels: 32, zChannels: 4, latentChannels: 4 }
const unet = { ...sides, modelChannels: 32, attentionFactors: [2], heads: { by: 'count', count: 1 } }
const pyramid = { channelMultipliers: [1, 2, 4, 8], dropout: 0 }
const autoencoder = {
  ...{ ...network, ...pyramid, attentionResolutions: [], attention: 'vanilla', convResample: true, normGroups: 32 },
  ...{ doubleZ: true, tanhOut: false, givePreEnd: false },
}
const run = {
  ...{ steps: 9, batchSize: 2, optimizer: { kind: 'sgd' }, learningRate: { kind: 'constant', rate: 1 } },
}
const sgdDeclared = { kind: 'sgd', momentum: 0, weightDecay: 0 }
const ran = {
  ...{ ...run, optimizer: sgdDeclared, microBatches: 1, accumulate: 1, precision: 'float32', flip: false },
  ...{ logEvery: 50, previewEvery: 500, checkpointEvery: 500 },
}
const perceptual = { weight: 0, heads: 'learned', files: [] }
const optimizers = {
  adam: { kind: 'adam', betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 },
  adamw: { kind: 'adamw', betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 },
  sgd: sgdDeclared,
}
const flow = { kind: 'flow', timesteps: 1000, shift: 1 }
const timed = { ...flow, zeroTerminalSnr: false }
const schedules = {
  linear: { ...timed, kind: 'linear', betaStart: 1e-4, betaEnd: 0.02 },
  'scaled-linear': { ...timed, kind: 'scaled-linear', betaStart: 1e-4, betaEnd: 0.02 },
  sqrt: { ...timed, kind: 'sqrt', betaStart: 1e-4, betaEnd: 0.02 },
  cosine: { ...timed, kind: 'cosine', offset: 0.008 },
  sigmoid: { ...timed, kind: 'sigmoid', start: -3, end: 3, temperature: 1 },
  'sigmoid-beta': { ...timed, kind: 'sigmoid-beta', betaStart: 1e-4, betaEnd: 0.02 },
  'cosine-log-snr': { ...timed, kind: 'cosine-log-snr', logSnrMin: -15, logSnrMax: 15 },
  flow,
}
const objective = {
  ...{ predicts: 'eps', loss: 'l2', elboWeight: 0, weighting: { kind: 'simple' }, variance: { kind: 'fixed' } },
  ...{ timestepSampling: { kind: 'uniform' }, logvar: { initial: 0, learned: false } },
  noise: { offset: 0, perturbation: 0 },
}
/** Parts of an objective that are named without their numbers. */
const weighed: Readonly<Record<string, readonly [given: object, documented: object]>> = {
  'min-snr': [{ weighting: { kind: 'min-snr' } }, { weighting: { kind: 'min-snr', gamma: 5 } }],
  p2: [{ weighting: { kind: 'p2' } }, { weighting: { kind: 'p2', k: 1, gamma: 1 } }],
  'logit-normal times': [
    { timestepSampling: { kind: 'logit-normal' } },
    { timestepSampling: { kind: 'logit-normal', mean: 0, deviation: 1 } },
  ],
  'a learnt variance': [{ variance: { kind: 'learned' } }, { variance: { kind: 'learned', weight: 1e-3 } }],
}
const cycle0 = { warmUp: 0, start: 0, peak: 1, floor: 0 }
const rates = {
  cosine: { given: {}, floor: 0 },
  'cosine-restarts': { given: { period: 4 }, growth: 1, floor: 0, warmUp: 0 },
  polynomial: { given: {}, power: 1, floor: 0, warmUp: 0 },
  'one-cycle': { given: {}, rise: 0.3, start: 0.04, floor: 4e-6, anneal: 'cosine', threePhase: false },
  'linear-cycles': { given: { cycles: [{ length: 9 }] }, cycles: [{ length: 9, ...cycle0 }] },
}
const documents: Readonly<Record<string, Declared>> = {
  ...RR.mapWithIndex(
    (kind: string, documented: object): Declared => ({
      decoded: decode(training),
      given: { ...run, optimizer: { kind } },
      documented: { ...ran, optimizer: documented },
    }),
  )(optimizers),
  ...RR.mapWithIndex(
    (kind: string, documented: { readonly kind: string }): Declared => ({
      decoded: decode(noiseSchedule),
      given: { kind },
      documented: { ...documented },
    }),
  )(schedules),
  ...RR.mapWithIndex(
    (kind: string, { given, ...documented }: { readonly given: object }): Declared => ({
      decoded: decode(training),
      given: { ...run, learningRate: { kind, rate: 1, ...given } },
      documented: { ...ran, learningRate: { kind, rate: 1, ...given, ...documented } },
    }),
  )(rates),
  ...RR.map(
    ([given, documented]: readonly [object, object]): Declared => ({
      decoded: decode(record({}, objectiveFields)),
      given: { ...given },
      documented: { ...objective, ...documented },
    }),
  )(weighed),
  'a rate that falls': {
    decoded: decode(training),
    given: { ...run, learningRate: { kind: 'warm-up-cosine', rate: 1, warmUp: 1 } },
    documented: { ...ran, learningRate: { kind: 'warm-up-cosine', rate: 1, warmUp: 1, floor: 0 } },
  },
  'a KL autoencoder': {
    decoded: decode(firstStage),
    given: { kind: 'kl', network, loss: {}, training: run },
    documented: {
      ...{ kind: 'kl', network: autoencoder, training: ran },
      loss: { pixel: 'l1', klWeight: 1e-6, perceptual, logvar: { initial: 0, learned: false } },
    },
  },
  'weights of what is transparent': {
    decoded: decode(firstStage),
    given: { kind: 'kl', network, loss: { weights: { kind: 'transparency' } }, training: run },
    documented: {
      ...{ kind: 'kl', network: autoencoder, training: ran },
      loss: {
        ...{ pixel: 'l1', klWeight: 1e-6, perceptual, logvar: { initial: 0, learned: false } },
        weights: { kind: 'transparency', transparent: 0 },
      },
    },
  },
  'a VQ autoencoder, its dead codes restarted': {
    decoded: decode(firstStage),
    given: {
      ...{ kind: 'vq', network, loss: {}, training: run },
      quantizer: { kind: 'nearest', entries: 8, restart: {}, remap: { used: [1] } },
    },
    documented: {
      ...{ kind: 'vq', network: autoencoder, loss: { pixel: 'l1', codebookWeight: 1, perceptual }, training: ran },
      quantizer: {
        ...{ kind: 'nearest', entries: 8, beta: 0.25, weighs: 'beta', restart: { every: 100, below: 1 } },
        remap: { used: [1], unknown: { kind: 'random' } },
      },
    },
  },
  'a Gumbel quantiser': {
    decoded: decode(firstStage),
    given: { kind: 'vq', network, loss: {}, training: run, quantizer: { kind: 'gumbel', entries: 8 } },
    documented: {
      ...{ kind: 'vq', network: autoencoder, loss: { pixel: 'l1', codebookWeight: 1, perceptual }, training: ran },
      quantizer: {
        ...{ kind: 'gumbel', entries: 8, klWeight: 5e-4, hard: true },
        temperature: { start: 1, end: 0.0625, steps: 10000 },
      },
    },
  },
  'a contest': {
    decoded: decode(adversarial),
    given: { factor: { start: 0, unit: 'steps' } },
    documented: {
      ...{ factor: { start: 0, unit: 'steps', weight: 1, before: 0, ramp: 0 }, loss: 'hinge', r1: 0 },
      ...{ generator: { weight: 1, cap: 1e4, smoothing: 0 }, order: 'simultaneous' },
      discriminator: { channels: 64, layers: 3, norm: 'batch' },
    },
  },
  diffusion: {
    decoded: decode(diffusion),
    given: { schedule: { kind: 'cosine' }, unet, training: run, conditioning: { kind: 'class' } },
    documented: {
      ...{ schedule: schedules.cosine, training: ran, conditioning: { kind: 'class', dropout: 0.1 }, ...objective },
      latents: 'unquantised',
      unet: {
        ...{ ...unet, ...pyramid, resample: 'conv', scaleShiftNorm: false },
        ...{ attention: { kind: 'self', order: 'legacy' }, classes: null, codebook: null },
      },
    },
  },
}
test.each(Object.entries(documents))(
  'a document leaves out of %s what is documented',
  (_, { decoded, given, documented }) => {
    expect(right(decoded(given))).toEqual(documented)
  },
)

test('numbers that are no option', () => {
  expect(logvarBounds).toEqual([-30, 20])
  expect(approximateNormalCdf(vector([0])).shape).toEqual([1])
  const halfWay = { epochs: 0, samples: 0, steps: 15 }
  expect(weightAt({ start: 10, unit: 'steps', weight: 2, before: 1, ramp: 10 })(halfWay)).toBe(1.5)
})
