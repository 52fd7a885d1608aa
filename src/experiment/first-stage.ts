import {
  apply,
  cast,
  claims,
  concat,
  floor,
  freeze,
  input,
  isTensor,
  leafName,
  mul,
  noise,
  parameter,
  reshape,
  scalar,
  type Tensor,
  topological,
} from '../declare/index.ts'
import { type DiagonalGaussian, diagonalGaussian, mode, sample } from '../distributions/gaussian.ts'
import type { Checked } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import { float, int, size } from '../graph/types.ts'
import {
  discriminatorTurn,
  generatorTurn,
  inMicroBatches,
  klAutoencoderLoss,
  type Loss,
  vqAutoencoderLoss,
} from '../losses/index.ts'
import { decode, encode } from '../nn/autoencoder/autoencoder.ts'
import type { AutoencoderConfig } from '../nn/autoencoder/config.ts'
import { type Discriminator, discriminator } from '../nn/discriminator.ts'
import type { Layer, Mode } from '../nn/layers.ts'
import { lpips } from '../nn/lpips.ts'
import type { Buffers } from '../nn/stateful.ts'
import type { Amendment } from '../optimizers/index.ts'
import { E, flow, identity, pipe } from '../prelude.ts'
import { optimise, substitution, trainable } from '../transform/index.ts'
import type { Adversarial, Diffusion, FirstStage } from './document.ts'
import { conditionOf, type Pictures, pictureLeaves, pixels, pixelWeights } from './pictures.ts'
import { numbered, numbersOf, quantize, restartOf, usedNumbers, vectorsOf } from './quantize.ts'

/** The graphs of a first stage: its losses, and what is asked of it once it is trained. */

/** Leaves of the first stage's graphs; parts of the loss are named as in the reference. */
export const firstStageLeaves = {
  ...pictureLeaves,
  moments: 'moments',
  latents: 'latents',
  codes: 'codes',
  /** How much the contest counts in a step. */
  factor: 'discriminator_factor',
} as const
const scopes = {
  perceptual: 'loss.perceptual_loss',
  judge: 'loss.discriminator',
  weight: 'loss.adaptive_weight',
} as const

/** Channels, height and width of the latents. */
export const latentShape = (c: AutoencoderConfig): readonly [number, number, number] => {
  const side = c.resolution / 2 ** (c.channelMultipliers.length - 1)
  return [c.latentChannels, side, side]
}

/** What the encoder makes of a picture: means and log-variances of a posterior, or a vector. */
export const encodedShape = ({ kind, network }: FirstStage): readonly [number, number, number] => {
  const [channels, ...side] = latentShape(network)
  return [kind === 'kl' ? 2 * channels : channels, ...side]
}

/** A batch through the autoencoder, and its loss without a contest. */
interface Pass {
  readonly inputs: Tensor
  readonly reconstructions: Tensor
  /** Of the posterior's mode, or of the codes. */
  readonly likeliest: () => Tensor
  readonly objective: Loss & { readonly nll: Tensor }
  readonly amendment?: Amendment | undefined
}
type Kl = Extract<FirstStage, { readonly kind: 'kl' }>
export type VqStage = Extract<FirstStage, { readonly kind: 'vq' }>

const perceptualOf = (
  { perceptual: { weight, heads } }: FirstStage['loss'],
  inputs: Tensor,
  reconstructions: Tensor,
): Tensor | undefined => (weight === 0 ? undefined : lpips(scopes.perceptual, { heads })(inputs, reconstructions).total)

const klPass = ({ network, loss }: Kl, batch: Pictures, drawn: string, training: boolean): Pass => {
  const inputs = pixels(network, batch)
  const posterior: DiagonalGaussian = pipe(inputs, encode('', network, { training }), diagonalGaussian)
  const latents = pipe(posterior, sample(noise(drawn, posterior.mean.shape)), claims('raw latents'))
  const decoder = decode('', network, { training })
  const reconstructions = pipe(latents, decoder)
  const weigh = { l1: { l1: 1, l2: 0 }, l2: { l1: 0, l2: 1 } }[loss.pixel]
  const { initial, learned } = loss.logvar
  const logvar = learned ? parameter('loss', 'logvar', [], { kind: 'constant', value: initial }) : scalar(initial)
  const perceptual = perceptualOf(loss, inputs, reconstructions)
  const objective = klAutoencoderLoss({ klWeight: loss.klWeight, ...weigh, logvar })({
    inputs,
    reconstructions,
    posterior,
    ...(perceptual === undefined ? {} : { perceptual: pipe(perceptual, mul(loss.perceptual.weight)) }),
    ...(loss.weights === undefined ? {} : { weights: pixelWeights(loss.weights, inputs) }),
  })
  const likeliest = (): Tensor => pipe(posterior, mode, claims('raw latents'), decoder)
  return { inputs, reconstructions, likeliest, objective }
}

const vqPass = ({ network, loss, quantizer }: VqStage, batch: Pictures, drawn: string, training: boolean): Pass => {
  const inputs = pixels(network, batch)
  const encoded = pipe(inputs, encode('', network, { training }))
  const quantized = pipe(encoded, quantize(quantizer, { training, noise: drawn }))
  const reconstructions = pipe(quantized.y, claims('raw latents'), decode('', network, { training }))
  const perceptual = perceptualOf(loss, inputs, reconstructions)
  const objective = vqAutoencoderLoss({
    norm: loss.pixel,
    codebookWeight: loss.codebookWeight,
    perceptualWeight: loss.perceptual.weight,
  })({
    inputs,
    reconstructions,
    codebookLoss: quantized.loss,
    codes: { chosen: pipe(quantized.codes, numbered(quantizer)), entries: numbersOf(quantizer) },
    ...(perceptual === undefined ? {} : { perceptual }),
  })
  const amendment = restartOf(quantizer, { latents: encoded, codes: quantized.codes })
  return { inputs, reconstructions, likeliest: () => reconstructions, objective, amendment }
}

const passOf = (stage: FirstStage, batch: Pictures, drawn: string, training = true): Pass =>
  stage.kind === 'kl' ? klPass(stage, batch, drawn, training) : vqPass(stage, batch, drawn, training)

/** A loss, and the parameters that it trains. */
export interface TrainedLoss {
  readonly loss: Loss & { readonly buffers?: Buffers }
  readonly parameters: readonly Tensor[]
}
export interface FirstStageLosses {
  readonly autoencoder: TrainedLoss
  readonly discriminator?: TrainedLoss
  readonly amendment: Amendment | undefined
}

/** Names of what is drawn for the latents: in the one forward pass, in the discriminator's own where it has one, from the prior. */
const draws = { first: 'posterior', second: 'posterior.second', prior: 'prior' } as const

/** The discriminator, and what it sees beside the pictures. */
const judgeOf = (
  { discriminator: config }: Adversarial,
  condition: Tensor | undefined,
  initialize = false,
): Discriminator => {
  const judge = discriminator(scopes.judge, config, { training: true, initialize })
  return condition === undefined ? judge : (x, buffers) => judge(concat(1, x, condition), buffers)
}

const contestOf = (stage: FirstStage, config: Adversarial, batch: Pictures): FirstStageLosses => {
  const first = passOf(stage, batch, draws.first)
  const second = config.order === 'alternating' ? passOf(stage, batch, draws.second) : first
  const judge = judgeOf(config, conditionOf(stage, batch))
  const factor = input(firstStageLeaves.factor, float())
  const lastLayer = topological([first.reconstructions]).find((x) => leafName(x) === 'decoder.conv_out.weight')
  const generator = generatorTurn(scopes.weight, { config, judge })({
    autoencoder: first.objective,
    reconstructions: first.reconstructions,
    lastLayer: lastLayer ?? first.reconstructions,
    factor,
  })
  const opposite = discriminatorTurn({ config, judge })({
    inputs: second.inputs,
    reconstructions: second.reconstructions,
    factor,
  })
  return {
    autoencoder: { loss: generator, parameters: trainable(first.objective.loss) },
    discriminator: { loss: opposite, parameters: trainable(judge(first.inputs).y) },
    amendment: first.amendment,
  }
}

/**
 * What a batch of pictures costs: reconstruction with KL or codebook, and with a contest the generator's term and the
 * discriminator's loss: `AutoencoderKL.training_step` and `VQModel.training_step` of ldm/models/autoencoder.py.
 */
export const firstStageLosses = (stage: FirstStage, batch: Pictures): FirstStageLosses => {
  if (stage.adversarial !== undefined) return contestOf(stage, stage.adversarial, batch)
  if (stage.kind === 'kl') {
    const { microBatches } = stage.training
    const loss = inMicroBatches(
      microBatches,
      batch.count,
      (count) => klPass(stage, { ...batch, count }, draws.first, true).objective,
    )
    return { autoencoder: { loss, parameters: trainable(loss.loss) }, amendment: undefined }
  }
  const { objective, amendment } = passOf(stage, batch, draws.first)
  return { autoencoder: { loss: objective, parameters: trainable(objective.loss) }, amendment }
}

const frozen = (outputs: Readonly<Record<string, Tensor>>): Checked<Graph> => pipe(freeze(outputs), E.map(optimise))

/**
 * What the first batch sets before the first step, under the names of the leaves it is for: ActNorm's start. Undefined where
 * nothing is.
 */
export const firstStageStart = (stage: FirstStage, batch: Pictures): Checked<Graph | undefined> => {
  const config = stage.adversarial
  if (config === undefined || config.discriminator.norm !== 'act') return E.right(undefined)
  const judge = judgeOf(config, conditionOf(stage, batch), true)
  return frozen(judge(passOf(stage, batch, draws.first).reconstructions).buffers)
}

/** Pictures to moments (KL), or to latents that are not quantised yet (VQ). */
const encoded = (stage: FirstStage, mode: Mode = {}): Layer => encode('', stage.network, mode)
/** Latents of VQ to the vectors of their codes; others as they are. */
const coded = (stage: FirstStage): Layer =>
  stage.kind === 'vq' ? (z) => quantize(stage.quantizer, { training: false, noise: draws.first })(z).y : identity
/** Latents to pictures; those of VQ are quantised first, as `VQModelInterface` does. */
const decoded = (stage: FirstStage): Layer => flow(coded(stage), decode('', stage.network))
/** What an encoder gives, without chance. */
const likeliest = (stage: FirstStage): Layer => (stage.kind === 'kl' ? (x) => mode(diagonalGaussian(x)) : identity)

/** Where a diffusion model has its first stage: `first_stage_model` of latent diffusion. */
export const firstStageScope = 'first_stage_model'
/** The same expression; its parameters are not trained. */
const untrained = (x: Tensor): Tensor =>
  substitution(
    Object.fromEntries(
      trainable(x).flatMap((p) =>
        isTensor('parameter')(p)
          ? [[p.attributes.name, apply('parameter', { ...p.attributes, trainable: false }, [], p.scope)]]
          : [],
      ),
    ),
    [x],
  )(x)
/** Pictures to latents without chance, by the encoder as a part of a diffusion model; of VQ they are not quantised. */
export const partEncoder = (stage: FirstStage): Layer =>
  flow(encode(firstStageScope, stage.network), likeliest(stage), untrained, claims('raw latents'))

/** pixels -> moments, the posterior's mean and log-variance; of VQ latents, not quantised or quantised */
export const encoderGraph = (stage: FirstStage, latents: Diffusion['latents'], batch: number): Checked<Graph> =>
  frozen({
    moments: pipe(
      pixels(stage.network, { count: batch }),
      encoded(stage),
      latents === 'quantised' ? coded(stage) : identity,
    ),
  })

/** pixels -> the numbers of their codes, int32[N, h, w]: what `encode` of ldm/models/autoencoder.py gives third. */
export const codesGraph = (stage: VqStage, batch: Pictures): Checked<Graph> =>
  frozen({
    codes: pipe(
      pipe(
        pixels(stage.network, batch),
        encoded(stage),
        quantize(stage.quantizer, { training: false, noise: draws.first }),
      ).codes,
      numbered(stage.quantizer),
    ),
  })

/** numbers of codes int32[N, h, w] -> pixels: `decode_code` of ldm/models/autoencoder.py. */
export const codeDecoderGraph = (stage: VqStage, batch: number): Checked<Graph> => {
  const [dim, ...positions] = latentShape(stage.network)
  return frozen({
    pixels: pipe(
      input(firstStageLeaves.codes, int(batch, ...positions)),
      vectorsOf(stage.quantizer, dim),
      claims('raw latents'),
      decode('', stage.network),
    ),
  })
}

/** latents -> pixels */
export const decoderGraph = (stage: FirstStage, batch: number): Checked<Graph> =>
  frozen({
    pixels: pipe(
      input(firstStageLeaves.latents, float(batch, ...latentShape(stage.network)), 'raw latents'),
      decoded(stage),
    ),
  })

/** What a first stage takes latents to be before it has seen a picture: standard normal, or codes all alike. */
const prior = (stage: FirstStage, batch: number): Tensor => {
  const [dim, ...positions] = latentShape(stage.network)
  if (stage.kind === 'kl') return noise(draws.prior, [batch, dim, ...positions])
  return pipe(
    noise(draws.prior, [batch, ...positions], 'uniform'),
    mul(usedNumbers(stage.quantizer)),
    floor,
    cast('int32'),
    vectorsOf(stage.quantizer, dim),
  )
}

/**
 * noise -> pixels: samples from the prior, N(0, I) of KL (`log_images` of ldm/models/autoencoder.py), uniform over the codes of VQ
 * (van den Oord et al. 2017, section 3.1).
 */
export const priorGraph = (stage: FirstStage, batch: number): Checked<Graph> =>
  frozen({ pixels: pipe(prior(stage, batch), claims('raw latents'), decode('', stage.network)) })

/** pixels -> features[N, C h w]: the posterior's mode, or latents that are not quantised */
export const latentFeaturesGraph = (stage: FirstStage, batch: number): Checked<Graph> =>
  frozen({
    features: pipe(
      pixels(stage.network, { count: batch }),
      encoded(stage),
      likeliest(stage),
      reshape(batch, size(latentShape(stage.network))),
    ),
  })

/** pixels -> pixels, through the posterior's mode or the codes */
export const reconstructionGraph = (stage: FirstStage, batch: number): Checked<Graph> =>
  frozen({ pixels: pipe(pixels(stage.network, { count: batch }), encoded(stage), likeliest(stage), decoded(stage)) })

/** What pictures cost that are not trained on, without a contest, and what the stage makes of them: through the posterior's mode or the codes. */
export const firstStageValidation = (stage: FirstStage, batch: Pictures): Checked<Graph> => {
  const { objective, likeliest } = passOf(stage, batch, draws.first, false)
  return frozen({ ...objective.log, loss: objective.loss, reconstructions: likeliest() })
}
