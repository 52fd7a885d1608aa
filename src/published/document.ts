import { concat, freeze, input, mean, noise, parameter, type Tensor } from '../declare/index.ts'
import { diagonalGaussian, sample } from '../distributions/gaussian.ts'
import { type Checked, collect } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import { float, int } from '../graph/types.ts'
import { klAutoencoderLoss, vqAutoencoderLoss } from '../losses/index.ts'
import { entries, width } from '../nn/bounds.ts'
import {
  autoencoderConfig,
  type Conditioning,
  type ControlNetConfig,
  controlNet,
  controlNetConfig,
  decode,
  discriminator,
  discriminatorConfig,
  embedding,
  encode,
  lpips,
  spatialRescaler,
  spatialRescalerConfig,
  type UNetConfig,
  unet,
  unetConfig,
  vectorQuantizer,
  zeros,
} from '../nn/index.ts'
import { E, pipe } from '../prelude.ts'
import { type Decoded, integer, list, record, tagged, text, withDefault, withOwnDefaults } from '../schema.ts'

/** Published models, declared: what is in their checkpoints, without how they are trained. */

/** What a first stage was trained with, whose parameters its checkpoint holds too. */
export const publishedLoss = record(
  {},
  {
    discriminator: withOwnDefaults(discriminatorConfig),
    /** Channels of a condition that the discriminator sees beside the pictures. */
    conditionChannels: withDefault(integer({ min: 0, max: 65536 }), 0),
  },
)
export type PublishedLoss = Decoded<typeof publishedLoss>

export const conditioningStage = tagged('kind', {
  /** An embedding of class labels, one token [ClassEmbedder]. */
  classes: record({ classes: width, dim: width }),
  /** What comes in goes on as it is. */
  identity: record({}),
  /** A picture made smaller, its channels mapped [SpatialRescaler]. */
  rescaler: record({ inChannels: width, rescaler: spatialRescalerConfig }),
  /** One of the reference that has no counterpart here. */
  notBuilt: record({ target: text }),
})
export type ConditioningStage = Decoded<typeof conditioningStage>

/** The codec of a published model's file: its networks, as one or as parts of a whole. */
export const publishedModel = record(
  { autoencoder: autoencoderConfig },
  {},
  {
    sources: list(text, { max: 100 }),
    /** Entries of the codebook of a quantised autoencoder. */
    codebook: entries,
    loss: publishedLoss,
    unet: unetConfig,
    conditioning: conditioningStage,
    controlNet: controlNetConfig,
  },
)
/** `publishedModel`, decoded. */
export type PublishedModel = Decoded<typeof publishedModel>

/** A part of a checkpoint: a whole first stage is `model`, as a part of latent diffusion `first_stage`. */
export interface ModelSection {
  readonly section: 'model' | 'first_stage' | 'unet' | 'cond_stage' | 'control_model'
  /** A forward pass of one item. */
  readonly graph: Graph
}

type Outputs = Readonly<Record<string, Tensor>>

/** Tokens of a text, where the condition is one. */
const textTokens = 77

interface Compressed {
  readonly latents: Tensor
  readonly objective: (r: { inputs: Tensor; reconstructions: Tensor; perceptual: Tensor }) => Tensor
}

const compressed = ({ autoencoder: c, codebook }: PublishedModel, inputs: Tensor): Compressed => {
  const encoded = pipe(inputs, encode('', c))
  if (codebook !== undefined) {
    const { y, loss } = pipe(
      encoded,
      vectorQuantizer('quantize', { entries: codebook, dim: c.latentChannels, beta: 0.25, weighs: 'legacyBeta' }),
    )
    return { latents: y, objective: (r) => vqAutoencoderLoss()({ ...r, codebookLoss: loss }).loss }
  }
  const posterior = diagonalGaussian(encoded)
  return {
    latents: pipe(posterior, sample(noise('posterior', posterior.mean.shape))),
    objective: (r) => {
      const logvar = parameter('loss', 'logvar', [], zeros)
      return klAutoencoderLoss({ klWeight: 1, logvar })({ ...r, posterior }).loss
    },
  }
}

const lossOf = (
  { autoencoder: c }: PublishedModel,
  { discriminator: judge, conditionChannels }: PublishedLoss,
  { objective }: Compressed,
  inputs: Tensor,
  reconstructions: Tensor,
): Outputs => {
  const perceptual = lpips('loss.perceptual_loss')(inputs, reconstructions).total
  const condition = input('condition', float(1, conditionChannels, c.resolution, c.resolution))
  const seen = (x: Tensor): Tensor => (conditionChannels === 0 ? x : concat(1, x, condition))
  const pass = discriminator('loss.discriminator', judge)
  const [real, fake] = [pass(seen(inputs)), pass(seen(reconstructions))]
  return {
    loss: objective({ inputs, reconstructions, perceptual }),
    logits_real: mean()(real.y),
    logits_fake: mean()(fake.y),
    ...fake.buffers,
  }
}

const autoencoderOutputs = (m: PublishedModel): Outputs => {
  const { inChannels, resolution } = m.autoencoder
  const inputs = input('pixels', float(1, inChannels, resolution, resolution))
  const found = compressed(m, inputs)
  const reconstructions = pipe(found.latents, decode('', m.autoencoder))
  return m.loss === undefined
    ? { latents: found.latents, reconstructions }
    : { reconstructions, ...lossOf(m, m.loss, found, inputs, reconstructions) }
}

const unetOutputs = (m: PublishedModel, c: UNetConfig): Outputs => {
  const side = m.autoencoder.resolution / 2 ** (m.autoencoder.channelMultipliers.length - 1)
  const tokens = m.conditioning?.kind === 'classes' ? 1 : textTokens
  return {
    prediction: unet('', c)(
      input('latents', float(1, c.inChannels, side, side)),
      input('timesteps', int(1)),
      toldTo(c, tokens),
    ),
  }
}

const toldTo = (c: UNetConfig | ControlNetConfig, tokens: number): Conditioning => ({
  context: c.attention.kind === 'self' ? undefined : input('context', float(1, tokens, c.attention.contextDim)),
  y:
    c.vector !== undefined
      ? input('vector', float(1, c.vector))
      : c.classes === null
        ? undefined
        : input('labels', int(1)),
})

/** Of one picture as large as those the hint's convolutions bring to the latents' size. */
const controlNetOutputs = (m: PublishedModel, c: ControlNetConfig): Outputs => {
  const side = m.autoencoder.resolution / 2 ** (m.autoencoder.channelMultipliers.length - 1)
  const { down, middle } = controlNet('', c)(
    input('latents', float(1, c.inChannels, side, side)),
    input('timesteps', int(1)),
    input('hint', float(1, c.hintChannels, ...square(side * 2 ** (c.hintWidths.length - 1)))),
    toldTo(c, textTokens),
  )
  return { ...Object.fromEntries(down.map((x, i) => [`down.${i}`, x])), middle }
}
const square = (side: number) => [side, side] as const

const conditioningOutputs = (stage: ConditioningStage | undefined): Outputs | undefined => {
  if (stage === undefined || stage.kind === 'notBuilt') return undefined
  if (stage.kind === 'identity') return {}
  if (stage.kind === 'rescaler') {
    const { inChannels, rescaler } = stage
    const side = Math.max(1, Math.round(rescaler.factor ** -rescaler.stages))
    return { beside: pipe(input('labels', float(1, inChannels, ...square(side))), spatialRescaler('', rescaler)) }
  }
  const entries = embedding('embedding', { entries: stage.classes, dim: stage.dim })
  return { context: pipe(input('labels', int(1, 1)), entries) }
}

/**
 * The parts of a published model, each with the parameters that its checkpoint holds, by their published names. Errors: `shape`,
 * `config` where its sizes do not fit each other.
 */
export const modelSections = (m: PublishedModel): Checked<readonly ModelSection[]> => {
  const built = (section: ModelSection['section'], outputs: Outputs): Checked<ModelSection> =>
    pipe(
      freeze(outputs),
      E.map((graph) => ({ section, graph })),
    )
  const conditioning = conditioningOutputs(m.conditioning)
  return collect([
    built(m.unet === undefined ? 'model' : 'first_stage', autoencoderOutputs(m)),
    ...(m.unet === undefined ? [] : [built('unet', unetOutputs(m, m.unet))]),
    ...(m.controlNet === undefined ? [] : [built('control_model', controlNetOutputs(m, m.controlNet))]),
    ...(conditioning === undefined ? [] : [built('cond_stage', conditioning)]),
  ])
}
