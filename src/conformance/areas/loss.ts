import { leafName, mul, parameter, part, silu, type Tensor, topological } from '../../declare/index.ts'
import { diagonalGaussian, sample } from '../../distributions/gaussian.ts'
import type { Checked } from '../../error.ts'
import { floats, type Values } from '../../execute/executor.ts'
import {
  adversarialKinds,
  type Contest,
  discriminatorLoss,
  discriminatorTurn,
  generatorTurn,
  klAutoencoderLoss,
  type Loss,
  norms,
  vqAutoencoderLoss,
  weighedDiscriminatorLoss,
  weightAt,
} from '../../losses/index.ts'
import { codebookUsage, conv2d, discriminator, lpips } from '../../nn/index.ts'
import { pipe } from '../../prelude.ts'
import { anything, flag, integer, number, record, text, withDefault, word } from '../../schema.ts'
import type { Case } from '../case.ts'
import { parameterTolerances } from '../formula.ts'
import { adapter, area, type Plan } from '../plan.ts'
import { given, graphPlan, optional } from '../rebuild.ts'
import { leftBehind, uninitialized } from './discriminator.ts'

const positive = integer({ min: 1 })

/** The arguments of both losses, of their calls, and how the cases were made. */
const common = {
  required: { disc_start: number(), global_step: number(), optimizer_idx: integer({ min: 0, max: 1 }) },
  defaulted: {
    disc_num_layers: withDefault(positive, 3),
    disc_factor: withDefault(number(), 1),
    disc_weight: withDefault(number(), 1),
    disc_conditional: withDefault(flag, false),
    disc_loss: withDefault(word(adversarialKinds), 'hinge'),
    perceptual_weight: withDefault(number(), 1),
    use_actnorm: withDefault(flag, false),
    split: withDefault(text, 'train'),
    training_mode: withDefault(flag, true),
    disc_ndf: withDefault(positive, 64),
  },
  optional: {
    /** Without effect in the reference. */
    pixelloss_weight: number(),
    disc_in_channels: positive,
    cond_channels: integer({ min: 0 }),
    decoder: text,
    kind: text,
    weights: text,
    perceptual: anything,
    n_classes: positive,
  },
}
const klConfig = record(
  common.required,
  { ...common.defaulted, logvar_init: withDefault(number(), 0), kl_weight: withDefault(number(), 1) },
  common.optional,
)
const vqConfig = record(
  common.required,
  { ...common.defaulted, codebook_weight: withDefault(number(), 1), pixel_loss: withDefault(word(norms), 'l1') },
  { ...common.optional, perceptual_loss: word(['lpips']) },
)
type Common = Omit<(typeof klConfig)['_A'], 'logvar_init' | 'kl_weight'>

/** The cases' decoder, conv_out(silu(conv_in(z))). */
const decoded = (c: Case, z: Tensor): Tensor =>
  pipe(
    z,
    conv2d('decoder.conv_in', { out: c.params['decoder.conv_in.weight']?.shape[0] ?? 0, kernel: 3, padding: 1 }),
    silu,
    conv2d('decoder.conv_out', { out: c.params['decoder.conv_out.weight']?.shape[0] ?? 0, kernel: 3, padding: 1 }),
  )
const leafOf = (x: Tensor, name: string): Tensor => topological([x]).find((y) => leafName(y) === name) ?? x

interface Scene {
  readonly inputs: Tensor
  readonly reconstructions: Tensor
  /** Not weighed. */
  readonly perceptual: Tensor | undefined
}

const played = (config: Common, c: Case, { inputs, reconstructions }: Scene, autoencoder: Loss & { nll: Tensor }) => {
  const training = config.training_mode
  const judge = discriminator(
    'discriminator',
    { channels: config.disc_ndf, layers: config.disc_num_layers, norm: config.use_actnorm ? 'act' : 'batch' },
    { training, initialize: training && config.use_actnorm && uninitialized(c) },
  )
  const { disc_start: start, disc_factor: weight, global_step: steps } = config
  const generator = { weight: config.disc_weight, cap: 1e4, smoothing: 0 }
  const contest: Contest = { config: { loss: config.disc_loss, generator, r1: 0 }, judge }
  const condition = optional(c, 'cond')
  const turn = {
    reconstructions,
    factor: weightAt({ unit: 'steps', start, weight, before: 0, ramp: 0 })({ steps, epochs: 0, samples: 0 }),
    ...(condition === undefined ? {} : { condition }),
  }
  return config.optimizer_idx === 0
    ? generatorTurn(
        '',
        contest,
      )({ ...turn, autoencoder, lastLayer: leafOf(reconstructions, 'decoder.conv_out.weight') })
    : discriminatorTurn(contest)({ ...turn, inputs })
}

/** `loss`, what is logged, and what the discriminator's passes leave behind. */
const turnPlan = (config: Common, c: Case, scene: Scene, autoencoder: Loss & { nll: Tensor }): Checked<Plan> => {
  const { loss, log, buffers } = played(config, c, scene, autoencoder)
  return graphPlan(c, {
    loss,
    reconstructions: scene.reconstructions,
    ...Object.fromEntries(
      Object.entries(log).flatMap(([name, x]) => {
        const out = `log.${config.split}/${name}`
        return `out.${out}` in c.expected ? [[out, x] as const] : []
      }),
    ),
    ...leftBehind(c, buffers),
  })
}

const sceneOf = (config: Common, c: Case, z: Tensor): Scene => {
  const [inputs, reconstructions] = [given(c, 'inputs'), decoded(c, z)]
  const perceptual = config.perceptual_weight > 0 ? lpips('perceptual_loss')(inputs, reconstructions).total : undefined
  return { inputs, reconstructions, perceptual }
}

const klPlan = (config: (typeof klConfig)['_A'], c: Case): Checked<Plan> => {
  const posterior = diagonalGaussian(given(c, 'moments'))
  const scene = sceneOf(config, c, pipe(posterior, sample(given(c, 'noise'))))
  const weights = optional(c, 'weights')
  const logvar = parameter('', 'logvar', [], { kind: 'constant', value: config.logvar_init })
  const autoencoder = klAutoencoderLoss({ klWeight: config.kl_weight, logvar })({
    inputs: scene.inputs,
    reconstructions: scene.reconstructions,
    posterior,
    ...(scene.perceptual === undefined ? {} : { perceptual: pipe(scene.perceptual, mul(config.perceptual_weight)) }),
    ...(weights === undefined ? {} : { weights }),
  })
  // The reference takes the gradients' norms only where the contest may count.
  const disc_weight = config.disc_factor > 0 ? config.disc_weight : 0
  return turnPlan({ ...config, disc_weight }, c, scene, autoencoder)
}

const vqPlan = (config: (typeof vqConfig)['_A'], c: Case): Checked<Plan> => {
  const moments = given(c, 'moments')
  const scene = sceneOf(config, c, part(moments, 1, 0, c.params['decoder.conv_in.weight']?.shape[1] ?? 0))
  const [codebookLoss, chosen] = [optional(c, 'codebook_loss'), optional(c, 'predicted_indices')]
  const autoencoder = vqAutoencoderLoss({
    norm: config.pixel_loss,
    codebookWeight: config.codebook_weight,
    perceptualWeight: config.perceptual_weight,
  })({
    inputs: scene.inputs,
    reconstructions: scene.reconstructions,
    ...(scene.perceptual === undefined ? {} : { perceptual: scene.perceptual }),
    ...(codebookLoss === undefined ? {} : { codebookLoss }),
    ...(chosen === undefined || config.n_classes === undefined ? {} : { codes: { chosen, entries: config.n_classes } }),
  })
  return turnPlan(config, c, scene, autoencoder)
}

/** Rows [weight, step, threshold, value, result] of `adopt_weight`, the results ours. */
const adopted = (c: Case): Values => {
  const table = c.expected['out.adopt_weight']
  if (table === undefined) return {}
  const [rows = 0, width = 0] = table.shape
  const cells = Array.from(table.data, Number)
  const row = (i: number): readonly number[] => {
    const [weight = 0, steps = 0, start = 0, before = 0] = cells.slice(i * width)
    const result = weightAt({ unit: 'steps', start, weight, before, ramp: 0 })({ steps, epochs: 0, samples: 0 })
    return [weight, steps, start, before, result]
  }
  return {
    'out.adopt_weight': floats(table.shape, Float64Array.from(Array.from({ length: rows }, (_, i) => row(i)).flat())),
  }
}

const ganPlan = ({ n_embed }: { readonly n_embed?: number }, c: Case): Checked<Plan> => {
  const logits = { real: given(c, 'logits_real'), fake: given(c, 'logits_fake') }
  const [weights, codes] = [optional(c, 'weights'), optional(c, 'predicted_indices')]
  const usage = codes === undefined || n_embed === undefined ? undefined : codebookUsage(n_embed)(codes)
  return graphPlan(
    c,
    {
      hinge: discriminatorLoss('hinge')(logits),
      vanilla: discriminatorLoss('vanilla')(logits),
      hinge_exemplar: weights === undefined ? undefined : weighedDiscriminatorLoss('hinge', weights)(logits),
      perplexity: usage?.perplexity,
      cluster_use: usage?.used,
    },
    adopted(c),
  )
}

const gan = adapter(record({}, {}, { n_embed: positive }), ganPlan)
const vq = adapter(vqConfig, vqPlan)

export const lossArea = area(
  {
    'contperceptual.py LPIPSWithDiscriminator': adapter(klConfig, klPlan),
    'vqperceptual.py VQLPIPSWithDiscriminator': vq,
    'vqperceptual.py hinge_d_loss': gan,
  },
  [
    ...parameterTolerances,
    { tensor: /adopt_weight$|cluster_us|initialized$|num_batches_tracked$/, measure: 'exact', limit: 0 },
    { tensor: /^grad|d_weight$/, measure: 'scaled', limit: 5e-5 },
    // Means of logits may come near 0.
    { tensor: /logits_|g_loss$/, measure: 'scaled', limit: 1e-5, room: 1e-6 },
    { tensor: /./, measure: 'scaled', limit: 1e-5 },
  ],
)
