import { formulaParameter, hashUniform } from '../src/conformance/formula.ts'
import { abs, freeze, input, integers, leafName, mean, scalar, type Tensor, topological } from '../src/declare/index.ts'
import { ddpmLoss, denoiser, guideTogether } from '../src/diffusion/index.ts'
import { diagonalGaussian, sample } from '../src/distributions/gaussian.ts'
import type { Checked } from '../src/error.ts'
import { floats, ints, type Value, type Values } from '../src/execute/executor.ts'
import type { Training } from '../src/experiment/document.ts'
import { cost } from '../src/graph/cost.ts'
import { type Graph, parameters } from '../src/graph/graph.ts'
import { float, int, type Shape, size } from '../src/graph/types.ts'
import { discriminatorTurn, generatorTurn, inMicroBatches, klAutoencoderLoss } from '../src/losses/index.ts'
import { decode, encode } from '../src/nn/autoencoder/autoencoder.ts'
import type { AutoencoderConfig } from '../src/nn/autoencoder/config.ts'
import { discriminator } from '../src/nn/discriminator.ts'
import { lpips } from '../src/nn/lpips.ts'
import { clipText } from '../src/nn/text/clip.ts'
import { clipTextModels } from '../src/nn/text/clip-config.ts'
import type { UNetConfig } from '../src/nn/unet/config.ts'
import { unet } from '../src/nn/unet/unet.ts'
import { E, pipe } from '../src/prelude.ts'
import { dpmpp2m, planWalk, type SamplingPlan, stepGraph } from '../src/samplers/index.ts'
import { noiseSchedule } from '../src/schedulers/noise-schedule.ts'
import { discretePath } from '../src/schedulers/path.ts'
import { groupOf } from '../src/train/state.ts'
import { type StepPlan, stepOfTurns, trainingStep } from '../src/train/step.ts'
import { optimise, trainable } from '../src/transform/index.ts'

/**
 * The benchmarked works, the same as in `peers/torch_peer.py`: models A and B of the design's measurements, weights and
 * inputs by the fixtures' hash formula, so that both sides must report the same values.
 */

const unetA: UNetConfig = {
  inChannels: 4,
  outChannels: 4,
  modelChannels: 64,
  channelMultipliers: [1, 2, 2],
  resBlocks: 2,
  attentionFactors: [4],
  heads: { by: 'channels', channels: 32 },
  resample: 'conv',
  scaleShiftNorm: false,
  dropout: 0,
  attention: { kind: 'self', order: 'legacy' },
  classes: null,
  codebook: null,
}
const autoencoderB: AutoencoderConfig = {
  inChannels: 3,
  outChannels: 3,
  resolution: 64,
  channels: 32,
  channelMultipliers: [1, 2, 4],
  resBlocks: 1,
  zChannels: 4,
  latentChannels: 4,
  attentionResolutions: [],
  attention: 'vanilla',
  convResample: true,
  normGroups: 32,
  dropout: 0,
  doubleZ: true,
  tanhOut: false,
  givePreEnd: false,
}
const latents: Shape = [8, 4, 32, 32]
const pictures: Shape = [4, 3, 64, 64]
const codes: Shape = [4, 4, 16, 16]

/** The same in small, to be run on every executor. */
const unetSmall: UNetConfig = {
  ...unetA,
  modelChannels: 32,
  channelMultipliers: [1, 2],
  resBlocks: 1,
  attentionFactors: [2],
}
const autoencoderSmall: AutoencoderConfig = { ...autoencoderB, resolution: 16, channelMultipliers: [1, 2] }
const latentsSmall: Shape = [2, 4, 8, 8]
const picturesSmall: Shape = [2, 3, 16, 16]
const codesSmall: Shape = [2, 4, 8, 8]

const hashed = (name: string, shape: Shape) =>
  floats(shape, Float32Array.from(hashUniform(`bench:in.${name}`, size(shape))))
const weights = (g: Graph): Values =>
  Object.fromEntries(
    parameters(g).flatMap(({ name, shape, trainable: learnt }) =>
      learnt && groupOf(name)[0] === 'parameters' ? [[name, formulaParameter('bench', 1, name, shape)] as const] : [],
    ),
  )
const middles = (n: number): Int32Array =>
  Int32Array.from({ length: n }, (_, i) => Math.floor(((2 * i + 1) * 1000) / (2 * n)))

const training: Training = {
  steps: 1000,
  batchSize: 8,
  optimizer: { kind: 'adamw', betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 },
  learningRate: { kind: 'constant', rate: 1e-4 },
  microBatches: 1,
  accumulate: 1,
  precision: 'float32',
  flip: false,
  logEvery: 1,
  previewEvery: 1000,
  checkpointEvery: 1000,
}

export type Work =
  | { readonly kind: 'forward'; readonly graph: Graph; readonly weights: Values; readonly feeds: Values }
  | {
      /** All steps of a sampler, x on the device between them. */
      readonly kind: 'sampling'
      readonly plan: SamplingPlan
      readonly graph: Graph
      readonly weights: Values
      readonly from: Value
      readonly feeds: Values
    }
  | {
      readonly kind: 'step'
      readonly plan: StepPlan
      readonly constants: Values
      readonly initial: Values
      readonly feeds: Values
    }

const forward = (output: Tensor, feeds: Values): Checked<Work> =>
  pipe(
    freeze({ value: pipe(output, abs, mean()), output }),
    E.map(optimise),
    E.map((graph) => ({ kind: 'forward', graph, weights: weights(graph), feeds })),
  )
const step = (plan: Checked<StepPlan>, feeds: Values): Checked<Work> =>
  pipe(
    plan,
    E.map((p) => ({
      kind: 'step',
      plan: p,
      constants: perceptualConstants(p.graph),
      initial: { ...p.initial(0), ...weights(p.declared) },
      feeds,
    })),
  )

/** The peer's names of LPIPS' weights: its slices count their layers from the pooling on. */
const peerName = (leaf: string): string =>
  leaf
    .replace(/^net\.slice(\d)\.(\d+)/, (_, slice: string, index: string) => {
      const first = [0, 4, 9, 16, 23][Number(slice) - 1] ?? 0
      return `slices.${Number(slice) - 1}.${Number(index) - first}`
    })
    .replace(/^lin(\d)\.model\.1/, 'lins.$1')
const perceptualConstants = (g: Graph): Values =>
  Object.fromEntries(
    parameters(g).flatMap(({ name, shape, init }) =>
      init.kind === 'loaded'
        ? [[name, formulaParameter('bench', 1, peerName(name), shape)] as const]
        : name.startsWith('scaling_layer.') && init.kind === 'values'
          ? [[name, floats(shape, Float32Array.from(init.data))] as const]
          : [],
    ),
  )

/** An autoencoder's pass over the pictures `x`, the posterior drawn with `noise`. */
const pass = (config: AutoencoderConfig, from: Shape, to: Shape) => {
  const inputs = input('x', float(...from))
  const posterior = pipe(inputs, encode('', config, { training: true }), diagonalGaussian)
  const reconstructions = pipe(posterior, sample(input('noise', float(...to))), decode('', config, { training: true }))
  return { inputs, reconstructions, posterior }
}

/** The peer's `gan-train`: hinge after its start, both optimisers Adam, in simultaneous order; with LPIPS if `perceptual`. */
const adversarialStep = (perceptual: boolean): Checked<StepPlan> => {
  const optimizer = { kind: 'adam', betas: [0.5, 0.9], eps: 1e-8, weightDecay: 0 } as const
  const learningRate = { kind: 'constant', rate: 4.5e-6 } as const
  const passed = pass(autoencoderB, pictures, codes)
  const { inputs, reconstructions } = passed
  const autoencoder = klAutoencoderLoss({ klWeight: 1e-6, logvar: scalar(0) })({
    ...passed,
    ...(perceptual ? { perceptual: lpips('')(inputs, reconstructions).total } : {}),
  })
  const judge = discriminator('', { channels: 64, layers: 3, norm: 'batch' }, { training: true })
  const contest = {
    config: { loss: 'hinge', generator: { weight: 0.5, cap: 1e4, smoothing: 0 }, r1: 0 },
    judge,
  } as const
  const lastLayer = topological([reconstructions]).find((p) => leafName(p) === 'decoder.conv_out.weight')
  const turn = { reconstructions, factor: 1 }
  return stepOfTurns(
    [
      {
        name: 'optimizer',
        optimizer,
        learningRate,
        loss: generatorTurn('', contest)({ ...turn, autoencoder, lastLayer: lastLayer ?? reconstructions }),
        parameters: trainable(autoencoder.loss),
      },
      {
        name: 'discriminator',
        optimizer,
        learningRate,
        loss: discriminatorTurn(contest)({ ...turn, inputs }),
        parameters: trainable(judge(inputs).y),
      },
    ],
    { steps: 1000, order: 'simultaneous' },
  )
}

const tokens = 77
const unetSample = (config: UNetConfig, from: Shape): Checked<Work> => {
  const [items = 0] = from
  const { attention } = config
  const contextShape = attention.kind === 'transformer' ? [items, tokens, attention.contextDim] : undefined
  const context = contextShape === undefined ? {} : { context: input('context', float(...contextShape)) }
  return forward(unet('', config)(input('x', float(...from)), input('t', int(items)), context), {
    x: hashed('x', from),
    t: ints([items], middles(items)),
    ...(contextShape === undefined ? {} : { context: hashed('context', contextShape) }),
  })
}

/** Stable Diffusion 1's U-Net at half its width: 215 M parameters. */
const unetHalf: UNetConfig = {
  ...unetA,
  modelChannels: 160,
  channelMultipliers: [1, 2, 4, 4],
  attentionFactors: [1, 2, 4],
  heads: { by: 'count', count: 8 },
  attention: { kind: 'transformer', contextDim: 768, depth: 1, widenHeads: true },
}
const textEncode = (items: number): Checked<Work> =>
  forward(clipText('', clipTextModels['ViT-L-14'])(input('ids', int(items, tokens))).last, {
    ids: ints(
      [items, tokens],
      Int32Array.from({ length: items * tokens }, (_, i) => (7919 * i) % 49408),
    ),
  })
/** As many rows of a shape. */
const rowsOf = ([, ...rest]: Shape, rows: number): Shape => [rows, ...rest]

/** The main job's U-Net. */
const unetEmoji: UNetConfig = { ...unetA, channelMultipliers: [1, 2], resBlocks: 1, attentionFactors: [2], classes: 11 }
const latentsEmoji: Shape = [16, 4, 8, 8]

/** 25 steps of DPM-Solver++(2M) with guidance: each calls the network once, on the batch without and with its classes. */
const guidedSampling = (config: UNetConfig, from: Shape): Checked<Work> => {
  const [items = 0] = from
  const none = integers(Array.from({ length: items }, () => (config.classes ?? 1) - 1))
  const guided = guideTogether(2.5)((given) => denoiser('v', (x, t) => unet('', config)(x, t, given)), {
    conditional: { y: input('y', int(items)) },
    unconditional: { y: none },
  })
  return pipe(
    noiseSchedule({ kind: 'scaled-linear', timesteps: 1000, betaStart: 0.0015, betaEnd: 0.0155 }),
    E.flatMap((schedule) => planWalk(dpmpp2m(), discretePath(schedule), { kind: 'trailing', steps: 25 })),
    E.bindTo('plan'),
    E.bind('graph', ({ plan }) => pipe(stepGraph(plan, guided, { shape: from }), E.map(optimise))),
    E.map(({ plan, graph }) => ({
      kind: 'sampling',
      plan,
      graph,
      weights: weights(graph),
      from: hashed('x', from),
      feeds: {
        y: ints(
          [items],
          Int32Array.from({ length: items }, (_, i) => i % ((config.classes ?? 1) - 1)),
        ),
      },
    })),
  )
}

const unetTrain = (config: UNetConfig, from: Shape, microBatches = 1): Checked<Work> => {
  const [items = 0] = from
  return pipe(
    noiseSchedule({ kind: 'scaled-linear', timesteps: 1000, betaStart: 0.0015, betaEnd: 0.0195 }),
    E.flatMap((schedule) =>
      step(
        trainingStep(
          inMicroBatches(microBatches, items, (rows) => {
            const shape = float(...rowsOf(from, rows))
            return ddpmLoss(schedule)(
              denoiser('eps', (x, t) => unet('', config, { training: true })(x, t)),
              { x0: input('x', shape), eps: input('noise', shape), t: input('t', int(rows)) },
            )
          }),
          training,
        ),
        { x: hashed('x', from), noise: hashed('noise', from), t: ints([items], middles(items)) },
      ),
    ),
  )
}
const autoencoderTrain = (config: AutoencoderConfig, from: Shape, to: Shape, microBatches = 1): Checked<Work> => {
  const lossOf = (rows: number) =>
    klAutoencoderLoss({ klWeight: 1e-6, logvar: scalar(0) })(pass(config, rowsOf(from, rows), rowsOf(to, rows)))
  return step(
    trainingStep(inMicroBatches(microBatches, from[0] ?? 0, lossOf), {
      ...training,
      optimizer: { kind: 'adam', betas: [0.5, 0.9], eps: 1e-8, weightDecay: 0 },
      learningRate: { kind: 'constant', rate: 4.5e-6 },
    }),
    { x: hashed('x', from), noise: hashed('noise', to) },
  )
}

/** Works that grow along one axis, the others as in `unet-train`; those of `parameters` are told their count in millions. */
export const grownWorks: Readonly<Record<string, readonly { readonly at: number; readonly name: string }[]>> = {
  batch: [1, 2, 4, 8, 16].map((at) => ({ at, name: `unet-train@batch=${at}` })),
  size: [16, 32, 64].map((at) => ({ at, name: `unet-train@size=${at}` })),
  parameters: [
    [1.6, 32],
    [6.5, 64],
    [14.5, 96],
    [25.8, 128],
    [40.4, 160],
  ].map(([at = 0, channels = 0]) => ({ at, name: `unet-train@channels=${channels}` })),
}
const grown: Readonly<Record<string, (n: number) => Checked<Work>>> = {
  batch: (n) => unetTrain(unetA, [n, 4, 32, 32]),
  size: (n) => unetTrain(unetA, [2, 4, n, n]),
  channels: (n) => unetTrain({ ...unetA, modelChannels: n, heads: { by: 'count', count: 2 } }, [2, 4, 32, 32]),
}
/** A work by its name; `unet-train@batch=4` is one of those that grow. */
export const workNamed = (name: string): (() => Checked<Work>) | undefined => {
  const [, axis = '', n] = /^unet-train@(\w+)=(\d+)$/.exec(name) ?? []
  const grows = grown[axis]
  return grows === undefined ? works[name] : () => grows(Number(n))
}

/** Works that are compared unless others are asked for. */
export const comparedWorks = [
  'unet-sample',
  'unet-text-sample',
  'text-encode',
  'sample-guided',
  'unet-train',
  'unet-train/2',
  'autoencoder-decode',
  'autoencoder-train',
  'autoencoder-train/2',
  'gan-train',
  'gan-lpips-train',
  'sd-half-sample',
] as const

/** A U-Net of 26 million parameters, and batches, that keep a card busy. */
const unetLarge: UNetConfig = { ...unetA, modelChannels: 128 }
const latentsLarge: Shape = [64, 4, 32, 32]
const autoencoderLarge: AutoencoderConfig = { ...autoencoderB, channels: 64 }
const [picturesLarge, codesLarge]: readonly [Shape, Shape] = [
  [32, 3, 64, 64],
  [32, 4, 16, 16],
]

const peerUNetLarge = { model_channels: 128, batch: 64 }
const peerUNetSmall = {
  ...{ model_channels: 32, channel_mult: [1, 2], num_res_blocks: 1, attention_resolutions: [2] },
  ...{ batch: 2, size: [8, 8] },
}
/** What a peer is asked for in place of a work's own name: `peers/README.md`. */
const askedOfPeers: Readonly<Record<string, PeerWork>> = {
  'gpu-unet-train': { work: 'unet-train', config: peerUNetLarge },
  'gpu-unet-sample': { work: 'unet-sample', config: peerUNetLarge },
  'gpu-half-sample': { work: 'sd-half-sample', config: { batch: 8 } },
  'gpu-autoencoder-train': { work: 'autoencoder-train', config: { batch: 32, ch: 64 } },
  'small-unet-train': { work: 'unet-train', config: peerUNetSmall },
  'small-unet-sample': { work: 'unet-sample', config: peerUNetSmall },
  'small-autoencoder-train': { work: 'autoencoder-train', config: { batch: 2, ch_mult: [1, 2], resolution: 16 } },
}
export interface PeerWork {
  readonly work: string
  readonly config: Readonly<Record<string, number | readonly number[]>>
}
export const peerWorkOf = (name: string): PeerWork =>
  askedOfPeers[name] ?? { work: name.split('/')[0] ?? name, config: {} }

/** Operations of one iteration. */
export const flopsOfWork = (name: string): number => {
  const made = works[name]?.()
  if (made === undefined || E.isLeft(made)) return Number.NaN
  const work = made.right
  return work.kind === 'sampling'
    ? work.plan.steps.length * cost(work.graph).flops
    : cost(work.kind === 'step' ? work.plan.graph : work.graph).flops
}

export const works: Readonly<Record<string, () => Checked<Work>>> = {
  'unet-sample': () => unetSample(unetA, latents),
  'unet-text-sample': () =>
    unetSample({ ...unetA, attention: { kind: 'transformer', contextDim: 256, depth: 1, widenHeads: true } }, latents),
  'sd-half-sample': () => unetSample(unetHalf, [1, 4, 64, 64]),
  'text-encode': () => textEncode(4),
  'sample-guided': () => guidedSampling(unetEmoji, latentsEmoji),
  'unet-train': () => unetTrain(unetA, latents),
  'autoencoder-decode': () =>
    forward(pipe(input('z', float(...codes)), decode('', autoencoderB)), { z: hashed('noise', codes) }),
  'autoencoder-train': () => autoencoderTrain(autoencoderB, pictures, codes),
  'unet-train/2': () => unetTrain(unetA, latents, 2),
  'autoencoder-train/2': () => autoencoderTrain(autoencoderB, pictures, codes, 2),
  'gan-train': () => step(adversarialStep(false), { x: hashed('x', pictures), noise: hashed('noise', codes) }),
  'gan-lpips-train': () => step(adversarialStep(true), { x: hashed('x', pictures), noise: hashed('noise', codes) }),
  'gpu-unet-train': () => unetTrain(unetLarge, latentsLarge),
  'gpu-unet-sample': () => unetSample(unetLarge, latentsLarge),
  'gpu-half-sample': () => unetSample(unetHalf, [8, 4, 64, 64]),
  'gpu-autoencoder-train': () => autoencoderTrain(autoencoderLarge, picturesLarge, codesLarge),
  'small-unet-sample': () => unetSample(unetSmall, latentsSmall),
  'small-unet-train': () => unetTrain(unetSmall, latentsSmall),
  'small-autoencoder-train': () => autoencoderTrain(autoencoderSmall, picturesSmall, codesSmall),
}
