import { objectiveDefaults, parameterizations } from '../diffusion/index.ts'
import { norms } from '../losses/index.ts'
import { type Decoded, flag, number, record, tagged, withDefault, withOwnDefaults, word } from '../schema.ts'
import { type Problems, problem, setting, unless } from './problems.ts'

/** What a diffusion model is trained for, as an experiment declares it, and the rules between its fields. */

/** Of a term of a loss: its square is a float32 still. */
const weight = number({ min: 0, max: 1e6 })

const weighting = tagged('kind', {
  /** The target's own error, everywhere alike. */
  simple: record({}),
  /** The error of x_0 by min(SNR, gamma). */
  'min-snr': record({}, { gamma: withDefault(number({ min: 1e-3, max: 1e6 }), 5) }),
  /** The error of eps by 1 / (k + SNR)^gamma. */
  p2: record(
    {},
    { k: withDefault(number({ min: 1e-3, max: 1e3 }), 1), gamma: withDefault(number({ min: 0, max: 4 }), 1) },
  ),
  /** The error of eps by 1 / sqrt(SNR). */
  debiased: record({}),
})

const timestepSampling = tagged('kind', {
  uniform: record({}),
  /** As often as the losses that were last seen of each timestep ask for (Nichol and Dhariwal 2021). */
  importance: record({}),
  /** sigmoid(mean + deviation n), as a share of the way from data to noise. */
  'logit-normal': record(
    {},
    {
      mean: withDefault(number({ min: -10, max: 10 }), 0),
      deviation: withDefault(number({ min: 0.01, max: 10 }), 1),
    },
  ),
})

const variance = tagged('kind', {
  fixed: record({}),
  /** The U-Net has twice the latents' channels, and the sampler `ddpm` takes `"variance": "learned"`. */
  learned: record(
    {},
    {
      /** Of the bound over all timesteps, in bits a dimension, beside the simple loss. */
      weight: withDefault(weight, 1e-3),
    },
  ),
})

const share = number({ min: 0, max: 10 })

/** Fields of `diffusion` with their defaults. */
export const objectiveFields = {
  predicts: withDefault(word(parameterizations), 'eps'),
  loss: withDefault(word([...norms, 'pseudo-huber']), objectiveDefaults.norm),
  weighting: withDefault(weighting, { kind: 'simple' }),
  timestepSampling: withDefault(timestepSampling, { kind: 'uniform' }),
  /** Weight of the variational bound beside the simple loss. */
  elboWeight: withDefault(weight, objectiveDefaults.vlbWeight),
  variance: withDefault(variance, { kind: 'fixed' }),
  /** Log-variance of the error at each timestep: a number, or learnt from it on. */
  logvar: withOwnDefaults(
    record({}, { initial: withDefault(number({ min: -30, max: 20 }), 0), learned: withDefault(flag, false) }),
  ),
  noise: withOwnDefaults(
    record(
      {},
      {
        /** Noise that is the same all over a channel, added to the rest (Guttenberg 2023). */
        offset: withDefault(share, 0),
        /** Noise that is mixed in beside the noise to predict (Ning et al. 2023, gamma in algorithm 1). */
        perturbation: withDefault(share, 0),
      },
    ),
  ),
}
/** Fields of `diffusion` that may be absent. */
export const optionalObjectiveFields = {
  /** c of the pseudo-Huber loss. */
  huberScale: number({ min: 1e-6, max: 1e3 }),
}

const objective = record({}, objectiveFields, optionalObjectiveFields)
export type Objective = Decoded<typeof objective>

/** How many channels a network says of each of the latents. */
export const channelsSaid = ({ variance: { kind } }: Objective): number => (kind === 'learned' ? 2 : 1)

const at = '/diffusion'
const timed = setting({ [`${at}/schedule`]: { kind: 'cosine' } })
/** What whole timesteps are needed for. */
const discreteRules = ({ variance: { kind }, logvar, timestepSampling }: Objective): Problems => [
  ...unless(
    timestepSampling.kind !== 'importance',
    `${at}/timestepSampling/kind`,
    '"uniform" | "logit-normal", as a flow has no timesteps whose losses could be remembered',
    timestepSampling.kind,
    setting({ [`${at}/timestepSampling`]: { kind: 'logit-normal' } }),
  ),
  ...unless(
    kind === 'fixed',
    `${at}/variance/kind`,
    '"fixed", as a flow has no timesteps whose variance could be learnt',
    kind,
    timed,
  ),
  ...unless(
    !logvar.learned && logvar.initial === 0,
    `${at}/logvar`,
    'none, as a flow has no timesteps to keep it for',
    logvar,
    timed,
  ),
]

/** What a whole batch is remembered of is not seen in parts. */
const wholeBatch = ({ timestepSampling, training }: Objective & Parts): Problems =>
  (['microBatches', 'accumulate'] as const).flatMap((parts) =>
    unless(
      timestepSampling.kind !== 'importance' || training[parts] === 1,
      `${at}/training/${parts}`,
      '1, as importance sampling remembers the losses of whole batches',
      training[parts],
      setting({ [`${at}/training/${parts}`]: 1 }),
    ),
  )
interface Parts {
  readonly training: { readonly microBatches: number; readonly accumulate: number }
}

export const objectiveRules = (o: Objective & Parts, flows: boolean): Problems => [
  ...wholeBatch(o),
  ...(o.huberScale !== undefined && o.loss !== 'pseudo-huber'
    ? [
        problem(
          `${at}/huberScale`,
          `nothing, as "${o.loss}" has no scale`,
          o.huberScale,
          setting({ [`${at}/loss`]: 'pseudo-huber' }),
        ),
      ]
    : []),
  ...(flows ? discreteRules(o) : []),
]
