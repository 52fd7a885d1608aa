import {
  add,
  concat,
  mean,
  mul,
  type Operand,
  type Scope,
  scalar,
  stopGradient,
  type Tensor,
} from '../declare/index.ts'
import type { Discriminator } from '../nn/discriminator.ts'
import type { Buffers } from '../nn/stateful.ts'
import { pipe } from '../prelude.ts'
import { about, type Decoded, number, record, withDefault, withOwnDefaults, word } from '../schema.ts'
import { adaptiveWeight, adaptiveWeightConfig } from './adaptive-weight.ts'
import { adversarialKinds, discriminatorLoss, generatorLoss, r1Penalty } from './adversarial.ts'
import type { Loss } from './reconstruction.ts'

/** The adversarial term of an autoencoder, as declared in experiments: fields with a default. */
export const adversarialFields = {
  loss: about(
    'The discriminator\'s loss: "hinge", which ignores what is told apart well already, or "vanilla", the softplus terms of the original GAN (Goodfellow et al. 2014).',
    withDefault(word(adversarialKinds), 'hinge'),
  ),
  generator: about(
    "How the adversarial term is weighed in the autoencoder's loss: by the ratio of gradient norms at the decoder's last layer (Esser et al. 2021, equation 7).",
    withOwnDefaults(adaptiveWeightConfig),
  ),
  r1: about(
    'gamma of the R1 penalty on real pictures, gamma / 2 times the squared gradient (Mescheder et al. 2018); 0 for none, as in the reference. More of it calms the discriminator.',
    withDefault(number({ min: 0, max: 1e6 }), 0),
  ),
}
/** The codec of an adversarial term. */
export const adversarialConfig = record({}, adversarialFields)
/** `adversarialConfig`, decoded. */
export type AdversarialConfig = Decoded<typeof adversarialConfig>

/** Two players: what they play by, and who judges. */
export interface Contest {
  readonly config: AdversarialConfig
  readonly judge: Discriminator
}

interface Turn {
  readonly reconstructions: Tensor
  /** What a conditional discriminator sees too, on further channels: [N, C, H, W]. */
  readonly condition?: Tensor
  /** How much the contest counts now: an adopted weight, fed. */
  readonly factor: Operand
  /** The discriminator's, before this turn. */
  readonly buffers?: Buffers
}
/** What the autoencoder's turn needs. */
export interface GeneratorTurn<L extends string> extends Turn {
  /** The loss to which the adversarial term is added; the gradients of `nll` set its weight. */
  readonly autoencoder: Loss<L> & { readonly nll: Tensor }
  /** The decoder's last weight. */
  readonly lastLayer: Tensor
}
/** What the discriminator's turn needs: reconstructions, and the pictures they are of. */
export interface DiscriminatorTurn extends Turn {
  readonly inputs: Tensor
}

/** A loss, and what the turn leaves for the next one. */
export interface TurnLoss<L extends string> extends Loss<L> {
  readonly buffers: Buffers
}

const seen = (x: Tensor, condition: Tensor | undefined): Tensor =>
  condition === undefined ? x : concat(1, x, condition)
const operand = (x: Operand): Tensor => (typeof x === 'number' ? scalar(x) : x)

/**
 * The autoencoder's turn: its own loss and weight * factor * -E[D(x')], the weight adaptive. Logs the reference's values, and both
 * norms. Source: `forward` with `optimizer_idx` 0 of ldm/modules/losses/contperceptual.py and vqperceptual.py.
 */
export const generatorTurn =
  (s: Scope, { config, judge }: Contest) =>
  <L extends string>({
    autoencoder,
    reconstructions,
    condition,
    lastLayer,
    factor,
    buffers,
  }: GeneratorTurn<L>): TurnLoss<
    L | 'total_loss' | 'd_weight' | 'disc_factor' | 'g_loss' | 'nll_grad_norm' | 'g_grad_norm'
  > => {
    const passed = judge(seen(reconstructions, condition), buffers)
    const g = generatorLoss(passed.y)
    const adaptive = adaptiveWeight(s, config.generator)({ nll: autoencoder.nll, g, lastLayer })
    // Cut, so that what walks back from g is the walk of the norm, scaled: pullScalars stops at the cut.
    const weight = pipe(adaptive.weight, mul(factor), stopGradient)
    const loss = pipe(autoencoder.loss, add(pipe(g, mul(weight))))
    return {
      loss,
      log: {
        ...autoencoder.log,
        total_loss: loss,
        d_weight: adaptive.weight,
        disc_factor: operand(factor),
        g_loss: g,
        nll_grad_norm: adaptive.nllNorm,
        g_grad_norm: adaptive.gNorm,
      },
      buffers: { ...passed.buffers, ...adaptive.buffers },
    }
  }

/**
 * The discriminator's turn: real pictures, then reconstructions, both cut from what made them. Batch norm thus moves its statistics
 * twice. Source: `forward` with `optimizer_idx` 1 of the same files.
 */
export const discriminatorTurn =
  ({ config, judge }: Contest) =>
  ({
    inputs,
    reconstructions,
    condition,
    factor,
    buffers,
  }: DiscriminatorTurn): TurnLoss<'disc_loss' | 'logits_real' | 'logits_fake' | 'r1_penalty'> => {
    const pictures = stopGradient(inputs)
    const real = judge(seen(pictures, condition), buffers)
    const fake = judge(seen(stopGradient(reconstructions), condition), real.buffers)
    const contest = pipe(discriminatorLoss(config.loss)({ real: real.y, fake: fake.y }), mul(factor))
    const penalty = config.r1 === 0 ? scalar(0) : r1Penalty(real.y, pictures)
    return {
      loss: config.r1 === 0 ? contest : pipe(contest, add(pipe(penalty, mul(config.r1 / 2), mul(factor)))),
      log: { disc_loss: contest, logits_real: mean()(real.y), logits_fake: mean()(fake.y), r1_penalty: penalty },
      buffers: fake.buffers,
    }
  }
