import {
  cast,
  claims,
  floor,
  freeze,
  input,
  leafName,
  mul,
  noise,
  parameter,
  scalar,
  type Tensor,
  topological,
} from '../declare/index.ts'
import { type DiagonalGaussian, diagonalGaussian, mode, sample } from '../distributions/gaussian.ts'
import type { Checked } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import { float } from '../graph/types.ts'
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
import { discriminator } from '../nn/discriminator.ts'
import type { Layer, Mode } from '../nn/layers.ts'
import { lpips } from '../nn/lpips.ts'
import type { Buffers } from '../nn/stateful.ts'
import type { Amendment } from '../optimizers/index.ts'
import { E, flow, identity, pipe } from '../prelude.ts'
import { optimise, trainable } from '../transform/index.ts'
import type { Adversarial, Diffusion, FirstStage } from './document.ts'
import { quantize, restartOf, vectorsOf } from './quantize.ts'

/** The graphs of a first stage: its losses, and what is asked of it once it is trained. */

/** Leaves of the first stage's graphs; parts of the loss are named as in the reference. */
export const firstStageLeaves = {
  pixels: 'pixels',
  moments: 'moments',
  latents: 'latents',
  /** How much the contest counts in a step. */
  factor: 'discriminator_factor',
} as const
const scopes = {
  perceptual: 'loss.perceptual_loss',
  judge: 'loss.discriminator',
  weight: 'loss.adaptive_weight',
} as const

/** The pictures of a batch: how many, and their height and width where these are not the network's resolution. */
export interface Pictures {
  readonly count: number
  readonly side?: readonly [height: number, width: number]
}

const pixels = (c: AutoencoderConfig, { count, side = [c.resolution, c.resolution] }: Pictures): Tensor =>
  input(firstStageLeaves.pixels, float(count, c.inChannels, ...side), 'pixels in [-1, 1]')

/** Channels, height and width of the latents. */
export const latentShape = (c: AutoencoderConfig): readonly [number, number, number] => {
  const side = c.resolution / 2 ** (c.channelMultipliers.length - 1)
  return [c.latentChannels, side, side]
}

/** A batch through the autoencoder, and its loss without a contest. */
interface Pass {
  readonly inputs: Tensor
  readonly reconstructions: Tensor
  readonly objective: Loss & { readonly nll: Tensor }
  readonly amendment?: Amendment | undefined
}
type Kl = Extract<FirstStage, { readonly kind: 'kl' }>
type Vq = Extract<FirstStage, { readonly kind: 'vq' }>

const perceptualOf = (
  { perceptual: { weight, heads } }: FirstStage['loss'],
  inputs: Tensor,
  reconstructions: Tensor,
): Tensor | undefined => (weight === 0 ? undefined : lpips(scopes.perceptual, { heads })(inputs, reconstructions).total)

const klPass = ({ network, loss }: Kl, batch: Pictures, drawn: string): Pass => {
  const inputs = pixels(network, batch)
  const posterior: DiagonalGaussian = pipe(inputs, encode('', network, { training: true }), diagonalGaussian)
  const latents = pipe(posterior, sample(noise(drawn, posterior.mean.shape)), claims('raw latents'))
  const reconstructions = pipe(latents, decode('', network, { training: true }))
  const weigh = { l1: { l1: 1, l2: 0 }, l2: { l1: 0, l2: 1 } }[loss.pixel]
  const { initial, learned } = loss.logvar
  const logvar = learned ? parameter('loss', 'logvar', [], { kind: 'constant', value: initial }) : scalar(initial)
  const perceptual = perceptualOf(loss, inputs, reconstructions)
  const objective = klAutoencoderLoss({ klWeight: loss.klWeight, ...weigh, logvar })({
    inputs,
    reconstructions,
    posterior,
    ...(perceptual === undefined ? {} : { perceptual: pipe(perceptual, mul(loss.perceptual.weight)) }),
  })
  return { inputs, reconstructions, objective }
}

const vqPass = ({ network, loss, quantizer }: Vq, batch: Pictures, drawn: string): Pass => {
  const inputs = pixels(network, batch)
  const encoded = pipe(inputs, encode('', network, { training: true }))
  const quantized = pipe(encoded, quantize(quantizer, { training: true, noise: drawn }))
  const reconstructions = pipe(quantized.y, claims('raw latents'), decode('', network, { training: true }))
  const perceptual = perceptualOf(loss, inputs, reconstructions)
  const objective = vqAutoencoderLoss({
    norm: loss.pixel,
    codebookWeight: loss.codebookWeight,
    perceptualWeight: loss.perceptual.weight,
  })({
    inputs,
    reconstructions,
    codebookLoss: quantized.loss,
    codes: { chosen: quantized.codes, entries: quantizer.entries },
    ...(perceptual === undefined ? {} : { perceptual }),
  })
  const amendment = restartOf(quantizer, { latents: encoded, codes: quantized.codes })
  return { inputs, reconstructions, objective, amendment }
}

const passOf = (stage: FirstStage, batch: Pictures, drawn: string): Pass =>
  stage.kind === 'kl' ? klPass(stage, batch, drawn) : vqPass(stage, batch, drawn)

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

const judgeOf = ({ discriminator: config }: Adversarial, initialize = false) =>
  discriminator(scopes.judge, config, { training: true, initialize })

const contestOf = (stage: FirstStage, config: Adversarial, batch: Pictures): FirstStageLosses => {
  const first = passOf(stage, batch, draws.first)
  const second = config.order === 'alternating' ? passOf(stage, batch, draws.second) : first
  const judge = judgeOf(config)
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
    const loss = inMicroBatches(microBatches, batch, (n) => klPass(stage, n, draws.first).objective)
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
  return frozen(judgeOf(config, true)(passOf(stage, batch, draws.first).reconstructions).buffers)
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

/** pixels -> moments, the posterior's mean and log-variance; of VQ latents, not quantised or quantised */
export const encoderGraph = (stage: FirstStage, latents: Diffusion['latents'], batch: number): Checked<Graph> =>
  frozen({
    moments: pipe(
      pixels(stage.network, { count: batch }),
      encoded(stage),
      latents === 'quantised' ? coded(stage) : identity,
    ),
  })

/** pixels -> codes int32[N, h, w], of VQ alone: `encode` of ldm/models/autoencoder.py gives them third. */
export const codesGraph = (stage: Vq, batch: Pictures): Checked<Graph> =>
  frozen({
    codes: pipe(
      pixels(stage.network, batch),
      encoded(stage),
      quantize(stage.quantizer, { training: false, noise: draws.first }),
    ).codes,
  })

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
  const { entries } = stage.quantizer
  return pipe(
    noise(draws.prior, [batch, ...positions], 'uniform'),
    mul(entries),
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

/** pixels -> pixels, through the posterior's mode or the codes */
export const reconstructionGraph = (stage: FirstStage, batch: number): Checked<Graph> =>
  frozen({ pixels: pipe(pixels(stage.network, { count: batch }), encoded(stage), likeliest(stage), decoded(stage)) })
