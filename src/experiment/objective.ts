import { objectiveDefaults, parameterizations } from '../diffusion/index.ts'
import { norms } from '../losses/index.ts'
import {
  about,
  type Decoded,
  describedRecord,
  describedTagged,
  flag,
  number,
  withDefault,
  withOwnDefaults,
  word,
} from '../schema.ts'
import { type Problems, problem, setting, unless } from './problems.ts'

/** What a diffusion model is trained for, as an experiment declares it, and the rules between its fields. */

/** Of a term of a loss: its square is a float32 still. */
export const termWeight = number({ min: 0, max: 1e6 })

const weighting = describedTagged('kind', {
  simple: about("The target's own error, everywhere alike (Ho et al. 2020, L_simple).", describedRecord({})),
  'min-snr': about(
    'The error of x_0 by min(SNR, gamma), so that nearly clean pictures do not outweigh the rest (Hang et al. 2023); it often learns faster.',
    describedRecord(
      {},
      { gamma: about('The SNR beyond which timesteps count alike.', withDefault(number({ min: 1e-3, max: 1e6 }), 5)) },
    ),
  ),
  p2: about(
    'The error of eps by 1 / (k + SNR)^gamma, which favours the noise levels where content appears (Choi et al. 2022).',
    describedRecord(
      {},
      {
        k: about('What keeps the weight finite at pure noise.', withDefault(number({ min: 1e-3, max: 1e3 }), 1)),
        gamma: about(
          'How strongly nearly clean pictures count less; 0 is "simple".',
          withDefault(number({ min: 0, max: 4 }), 1),
        ),
      },
    ),
  ),
  debiased: about('The error of eps by 1 / sqrt(SNR) (Yu et al. 2023).', describedRecord({})),
})

const timestepSampling = describedTagged('kind', {
  uniform: about('All timesteps alike.', describedRecord({})),
  importance: about(
    'As often as the losses that were last seen of each timestep ask for (Nichol and Dhariwal 2021); of use with a bound in the loss.',
    describedRecord({}),
  ),
  'logit-normal': about(
    'sigmoid(mean + deviation n) as a share of the way from data to noise, which favours its middle (Esser et al. 2024).',
    describedRecord(
      {},
      {
        mean: about(
          'Above 0 more of the noisy times, below 0 more of the clean ones.',
          withDefault(number({ min: -10, max: 10 }), 0),
        ),
        deviation: about(
          'How far times spread from the middle; beyond 1.7 the ends are drawn more than it.',
          withDefault(number({ min: 0.01, max: 10 }), 1),
        ),
      },
    ),
  ),
})

const variance = describedTagged('kind', {
  fixed: about('It follows from the schedule (Ho et al. 2020).', describedRecord({})),
  learned: about(
    'The network says it too (Nichol and Dhariwal 2021): the U-Net has twice the channels of the latents, and the sampler "ddpm" takes "variance": "learned".',
    describedRecord(
      {},
      {
        weight: about(
          'Weight of the variational bound, in bits a dimension over all timesteps, that teaches it beside the simple loss.',
          withDefault(termWeight, 1e-3),
        ),
      },
    ),
  ),
})

const share = number({ min: 0, max: 10 })

/** Fields of `diffusion` with their defaults. */
export const objectiveFields = {
  predicts: about(
    'What the network says of x_t: the noise "eps", the data "x0", "v", a mixture of both that suits schedules that end in all noise (Salimans and Ho 2022), or the velocity of a "flow".',
    withDefault(word(parameterizations), 'eps'),
  ),
  loss: about(
    'The distance of prediction and target: "l1", "l2", or "pseudo-huber", an l2 near 0 and an l1 far from it.',
    withDefault(word([...norms, 'pseudo-huber']), objectiveDefaults.norm),
  ),
  weighting: about('How much the error at each noise level counts.', withDefault(weighting, { kind: 'simple' }), {
    kind: 'min-snr',
    gamma: 5,
  }),
  timestepSampling: about(
    'How often each noise level is trained on.',
    withDefault(timestepSampling, { kind: 'uniform' }),
    { kind: 'logit-normal', mean: 0, deviation: 1 },
  ),
  elboWeight: about(
    'Weight of the variational bound beside the simple loss; 0 for none, as better likelihoods cost how pictures look.',
    withDefault(termWeight, objectiveDefaults.vlbWeight),
  ),
  variance: about('The variance of a step backwards.', withDefault(variance, { kind: 'fixed' })),
  logvar: about(
    'Log-variance of the error at each timestep, which weighs the timesteps against each other: a number, or learnt [logvar_init, learn_logvar].',
    withOwnDefaults(
      describedRecord(
        {},
        {
          initial: about(
            'The number, or what learning begins at; 0 leaves the loss as it is.',
            withDefault(number({ min: -30, max: 20 }), 0),
          ),
          learned: about('Whether it is learnt beside the weights.', withDefault(flag, false)),
        },
      ),
    ),
  ),
  noise: about(
    'How the noise differs from independent normal numbers.',
    withOwnDefaults(
      describedRecord(
        {},
        {
          offset: about(
            'Share of noise that is the same all over a channel, added to the rest (Guttenberg 2023): with 0.1 pictures may be darker or brighter as a whole.',
            withDefault(share, 0),
            0.1,
          ),
          perturbation: about(
            'Share of noise that is mixed in beside the noise to predict (Ning et al. 2023, gamma in algorithm 1): with 0.1 the network is used to the errors of its own steps.',
            withDefault(share, 0),
            0.1,
          ),
        },
      ),
    ),
  ),
}
/** Fields of `diffusion` that may be absent. */
export const optionalObjectiveFields = {
  huberScale: about(
    'c of the pseudo-Huber loss, in units of what is predicted: beyond it an error counts as its size, not as its square; 0.03 where left out.',
    number({ min: 1e-6, max: 1e3 }),
    0.03,
  ),
}

const objective = describedRecord({}, objectiveFields, optionalObjectiveFields)
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
