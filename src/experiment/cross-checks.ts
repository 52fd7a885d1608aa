import type { Checked } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { conditionerOf, ownTextsOf, tells } from './conditioning.ts'
import { controlRules } from './control.ts'
import { autoencoderOf, type Diffusion, type Experiment, type FirstStage } from './document.ts'
import { codeRules, weightRules } from './first-stage-rules.ts'
import { labelMapRules } from './label-map-rules.ts'
import { channelsSaid, objectiveRules } from './objective.ts'
import { type Problems, problem, refusing, setting, unless } from './problems.ts'
import { processOf } from './process.ts'
import { planOf, type Sampling } from './sampling.ts'
import { scheduleRules, walkRules } from './schedule-rules.ts'
import { channelsOf, colours, diffusedOf, spaceOf } from './space.ts'
import { optimizerRules, trainingRules } from './training-rules.ts'

/** Rules between fields of an experiment that need no graph. Each gives the problems it finds. */

/** The number of groups of every GroupNorm in the U-Net, where it says none. */
const unetGroups = 32

interface Levels {
  readonly channelMultipliers: readonly number[]
}
/** How much smaller each level is than the first. */
const factors = ({ channelMultipliers }: Levels): readonly number[] => channelMultipliers.map((_, i) => 2 ** i)
/** By how much all levels together downsample. */
const factorOf = (levels: Levels): number => 2 ** (levels.channelMultipliers.length - 1)
/** How often a size can be halved. */
const halvings = (size: number): number => (size > 0 && size % 2 === 0 ? 1 + halvings(size / 2) : 0)
const nearestMultiple = (of: number, n: number): number => Math.max(of, Math.round(n / of) * of)

const widthRule = (at: string, channels: number, groups: number): Problems =>
  unless(
    channels % groups === 0,
    at,
    `a multiple of ${groups}, the number of groups of every GroupNorm`,
    channels,
    setting({ [at]: nearestMultiple(groups, channels) }),
  )

/** Attention declared for a place that is no level of the network would silently not be there. */
const placesRule = (at: string, places: readonly number[], levels: readonly number[]): Problems =>
  places.flatMap((place, i) =>
    unless(levels.includes(place), `${at}/${i}`, `a level of the network: ${levels.join(' | ')}`, place),
  )

/** Each slice of VGG16 but the first halves the resolution. */
const perceptualSide = 16
const perceptualRules = (experiment: Experiment, firstStage: FirstStage): Problems => {
  const { data } = experiment
  const { weight, files } = firstStage.loss.perceptual
  const at = '/firstStage/loss/perceptual'
  if (weight === 0) return []
  return [
    ...unless(
      files.length > 0,
      `${at}/files`,
      'files with the weights of VGG16 and LPIPS, torch or safetensors',
      files,
      `they are not shipped; to do without: ${setting({ [`${at}/weight`]: 0 })}`,
    ),
    ...unless(channelsOf(experiment) === colours, `${at}/weight`, '0, as label maps have no colours', weight),
    ...unless(
      data.size >= perceptualSide,
      '/data/size',
      `at least ${perceptualSide}, for the perceptual distance`,
      data.size,
    ),
  ]
}

/** The side of the discriminator's logits: all but the last two of its convolutions halve the picture, these take one each. */
const logitsSide = (size: number, layers: number): number => Math.floor(size / 2 ** layers) - 2
const adversarialRules = ({ data }: Experiment, { adversarial, training }: FirstStage): Problems => {
  if (adversarial === undefined) return []
  const { discriminator, optimizer = training.optimizer, learningRate = training.learningRate } = adversarial
  const at = '/firstStage/adversarial'
  return [
    ...unless(
      logitsSide(data.size, discriminator.layers) >= 1,
      `${at}/discriminator/layers`,
      `so few that pictures of ${data.size} pixels are left a logit`,
      discriminator.layers,
    ),
    ...optimizerRules(at, { steps: training.steps, optimizer, learningRate }),
  ]
}

/** What sees the whole batch: batch normalisation, the adaptive weight of a contest, the counts of a codebook. */
const wholeBatchRules = ({ adversarial, kind, training }: FirstStage): Problems =>
  (['microBatches', 'accumulate'] as const).flatMap((field) =>
    unless(
      training[field] === 1 || (kind === 'kl' && adversarial === undefined),
      `/firstStage/training/${field}`,
      '1, as a discriminator or a codebook sees the whole batch',
      training[field],
      setting({ [`/firstStage/training/${field}`]: 1 }),
    ),
  )

const halfRules = ({ adversarial, training: { precision } }: FirstStage): Problems =>
  unless(
    precision !== 'float16' || adversarial === undefined,
    '/firstStage/training/precision',
    'bfloat16 or float32, where two optimisers take turns: float16 scales one loss',
    precision,
    setting({ '/firstStage/training/precision': 'bfloat16' }),
  )

/** The size nearest to the declared one that both stages can halve as often as they do. */
const fittingSize = ({ data, diffusion }: Experiment, firstStage: FirstStage): Readonly<Record<string, number>> => {
  const factor = factorOf(firstStage.network) * (diffusion === undefined ? 1 : factorOf(diffusion.unet))
  const size = nearestMultiple(factor, data.size)
  return { '/data/size': size, '/firstStage/network/resolution': size }
}

const firstStageRules = (experiment: Experiment, firstStage: FirstStage): Problems => {
  const { data } = experiment
  const { network } = firstStage
  const at = '/firstStage/network'
  const channels = channelsOf(experiment)
  const factor = factorOf(network)
  const sides = factors(network).map((f) => network.resolution / f)
  return [
    ...unless(network.inChannels === channels, `${at}/inChannels`, `${channels}, as the pictures`, network.inChannels),
    ...unless(
      network.outChannels === channels,
      `${at}/outChannels`,
      `${channels}, as the pictures`,
      network.outChannels,
    ),
    ...unless(
      network.resolution === data.size,
      `${at}/resolution`,
      `${data.size}, the size of the pictures (/data/size)`,
      network.resolution,
    ),
    ...unless(
      data.size % factor === 0,
      '/data/size',
      `a multiple of ${factor}, by which the first stage downsamples`,
      data.size,
      setting(fittingSize(experiment, firstStage)),
    ),
    ...widthRule(`${at}/channels`, network.channels, network.normGroups),
    ...(network.resolution % factor === 0
      ? placesRule(`${at}/attentionResolutions`, network.attentionResolutions, sides)
      : []),
    ...(firstStage.kind === 'kl'
      ? unless(network.doubleZ, `${at}/doubleZ`, 'true, as the posterior has a mean and a variance', network.doubleZ)
      : unless(!network.doubleZ, `${at}/doubleZ`, 'false, as one vector is quantised', network.doubleZ)),
    ...unless(!network.givePreEnd, `${at}/givePreEnd`, 'false, as the decoder gives pictures', network.givePreEnd),
    ...trainingRules('/firstStage/training', firstStage.training),
    ...unless(
      firstStage.training.postHocEma === undefined,
      '/firstStage/training/postHocEma',
      'none: nothing is made of the averages of a first stage',
      firstStage.training.postHocEma,
      'they are for /diffusion/training; emaDecay averages a first stage',
    ),
    ...wholeBatchRules(firstStage),
    ...halfRules(firstStage),
    ...weightRules(experiment),
    ...codeRules(experiment),
    ...perceptualRules(experiment, firstStage),
    ...adversarialRules(experiment, firstStage),
  ]
}

const headRules = ({ unet }: Diffusion): Problems => {
  const levels = factors(unet)
  const widths = unet.channelMultipliers.flatMap((multiplier, i) =>
    i === levels.length - 1 || unet.attentionFactors.includes(levels[i] ?? 0) ? [multiplier * unet.modelChannels] : [],
  )
  const divides = (at: string, divisor: number): Problems => {
    const width = widths.find((w) => w % divisor !== 0)
    return width === undefined ? [] : [problem(at, `a divisor of ${width}, the width of an attention`, divisor)]
  }
  const at = '/diffusion/unet/heads'
  const { heads } = unet
  if (heads.by === 'channels') return divides(`${at}/channels`, heads.channels)
  if (heads.by === 'levels') {
    const { counts } = heads
    const apart = levels.flatMap((factor, i) => {
      const attends = i === levels.length - 1 || unet.attentionFactors.includes(factor)
      const [count = 1, wide = 0] = [counts[i], (unet.channelMultipliers[i] ?? 0) * unet.modelChannels]
      return attends && wide % count !== 0
        ? [problem(`${at}/counts/${i}`, `a divisor of ${wide}, the width of this level`, count)]
        : []
    })
    return counts.length === levels.length
      ? apart
      : [problem(`${at}/counts`, `a number for each of the ${levels.length} levels`, `${counts.length} numbers`)]
  }
  return [
    ...divides(`${at}/count`, heads.count),
    ...(heads.upsample === undefined ? [] : divides(`${at}/upsample`, heads.upsample)),
  ]
}

/** The U-Net attends to what the condition gives, and to nothing else. */
const contextRules = ({ attention }: Diffusion['unet'], context: number | null): Problems => {
  const at = '/diffusion/unet/attention'
  const fitting = setting({ [at]: context === null ? { kind: 'self' } : { kind: 'transformer', contextDim: context } })
  if (attention.kind === 'self')
    return unless(
      context === null,
      `${at}/kind`,
      '"transformer", to attend to the context that the condition gives',
      attention.kind,
      fitting,
    )
  if (context === null)
    return [problem(`${at}/kind`, '"self", as nothing gives a context to attend to', attention.kind, fitting)]
  return unless(
    attention.contextDim === context,
    `${at}/contextDim`,
    `${context}, as the condition gives (/diffusion/conditioning)`,
    attention.contextDim,
    setting({ [`${at}/contextDim`]: context }),
  )
}

const unetRules = (experiment: Experiment, diffusion: Diffusion): Problems => {
  const { unet } = diffusion
  const on = diffusedOf(experiment)
  const space = spaceOf(on, 0)
  const [channels = 0, latents = 0] = space.latent
  const at = '/diffusion/unet'
  const said = channelsSaid(diffusion)
  const halved = halvings(latents)
  const what = on.kind === 'identity' ? 'as the pictures' : 'as /firstStage/network/latentChannels'
  const conditioner = conditionerOf(diffusion.conditioning, space)
  const { channels: beside, context, rules, pictures } = conditioner
  const inputs = beside === 0 ? what : `${channels}, ${what}, and ${beside} beside them for the condition`
  return [
    ...unless(
      unet.inChannels === channels + beside,
      `${at}/inChannels`,
      `${channels + beside}, ${inputs}`,
      unet.inChannels,
      beside === 0 ? undefined : setting({ [`${at}/inChannels`]: channels + beside }),
    ),
    ...unless(
      unet.outChannels === said * channels,
      `${at}/outChannels`,
      said === 1
        ? `${channels}, ${what}`
        : `${said * channels}, a prediction and a variance for each of ${channels} channels`,
      unet.outChannels,
      setting({ [`${at}/outChannels`]: said * channels }),
    ),
    ...(Number.isInteger(latents) ? rules : []),
    ...(diffusion.adapter?.kind === 'controlnet' ? controlRules(diffusion.adapter, unet, conditioner, space) : []),
    ...labelMapRules(experiment, pictures?.maps),
    ...unless(
      !Number.isInteger(latents) || latents % factorOf(unet) === 0,
      `${at}/channelMultipliers`,
      `at most ${halved + 1} levels: ${on.kind === 'identity' ? 'pictures' : 'latents'} of ${latents}x${latents} can be halved ${halved} times`,
      `${unet.channelMultipliers.length} levels`,
    ),
    ...widthRule(`${at}/modelChannels`, unet.modelChannels, unet.norm?.groups ?? unetGroups),
    ...placesRule(`${at}/attentionFactors`, unet.attentionFactors, factors(unet)),
    ...headRules(diffusion),
    ...contextRules(unet, context),
    ...unless(unet.codebook === null, `${at}/codebook`, 'null, as the latents are no codes', unet.codebook),
    ...unless(
      unet.classes === null,
      `${at}/classes`,
      'null, as the data says how many there are',
      unet.classes,
      `for a class-conditional model: ${setting({ [`${at}/classes`]: null, '/diffusion/conditioning': { kind: 'class' } })}`,
    ),
  ]
}

/** What changes guidance where there is none. */
const guidanceRules = ({ guidance, guidanceRescale, guidanceInterval, guidanceSchedule }: Sampling): Problems => {
  const [from = 0, to = 1] = guidanceInterval
  const without = (field: string, is: boolean, expected: string, got: unknown): Problems =>
    unless(
      guidance !== 1 || is,
      `/sampling/${field}`,
      `${expected}, as there is no guidance (/sampling/guidance is 1)`,
      got,
    )
  return [
    ...unless(from < to, '/sampling/guidanceInterval', 'the lesser time first', guidanceInterval),
    ...without('guidanceRescale', guidanceRescale === 0, '0', guidanceRescale),
    ...without('guidanceInterval', from === 0 && to === 1, '[0, 1]', guidanceInterval),
    ...without('guidanceSchedule', guidanceSchedule === 'constant', '"constant"', guidanceSchedule),
  ]
}

const samplingRules = (experiment: Experiment, diffusion: Diffusion): Problems => {
  const { sampling } = experiment
  const { conditioning, schedule } = diffusion
  const { nothing, channels } = conditionerOf(conditioning, spaceOf(diffusedOf(experiment), 0))
  const unguided = setting({ '/sampling/guidance': 1 })
  const process = processOf(schedule)
  // A program's own sampler is planned where the program gives it.
  const plan = E.isLeft(process) || sampling.sampler === 'own' ? process : planOf(sampling, process.right.path)
  return [
    ...unless(
      sampling.guidance === 1 || nothing !== undefined,
      '/sampling/guidance',
      '1, for a model that has not learnt to do without its condition',
      sampling.guidance,
      channels > 0
        ? unguided
        : `${unguided}, or train with ${setting(
            'dropout' in conditioning
              ? { '/diffusion/conditioning/dropout': 0.1 }
              : { '/diffusion/conditioning': { kind: 'class', dropout: 0.1 } },
          )}`,
    ),
    ...guidanceRules(sampling),
    ...walkRules(sampling, diffusion),
    ...(E.isRight(process) && E.isLeft(plan) ? plan.left.map((e) => ({ ...e, at: `/sampling${e.at}` })) : []),
  ]
}

/** A word is learnt of captions, in encoders that are held. */
const newWordRules = ({ adapter, conditioning }: Diffusion): Problems =>
  adapter?.kind !== 'textual-inversion'
    ? []
    : conditioning.kind !== 'frozen-text'
      ? [
          problem(
            '/diffusion/adapter/kind',
            '"lora", as a word is learnt beside published models that read texts',
            adapter.kind,
          ),
        ]
      : unless(
          conditioning.dropout === 0,
          '/diffusion/conditioning/dropout',
          '0, as a word is learnt of captions',
          conditioning.dropout,
        )

const diffusionRules = (experiment: Experiment, diffusion: Diffusion): Problems => [
  ...unless(
    diffusion.latents === 'unquantised' || experiment.firstStage.kind === 'vq',
    '/diffusion/latents',
    '"unquantised", as the first stage has no codes',
    diffusion.latents,
  ),
  ...unless(
    diffusion.adapter !== undefined ||
      !tells('frozen-text', diffusion.conditioning) ||
      ownTextsOf(diffusion.conditioning) !== undefined,
    '/diffusion/conditioning/from',
    'a published model or a text encoder, whose encoders are held',
    'nothing',
  ),
  ...unless(
    !diffusion.training.flip || !tells('boxes', diffusion.conditioning),
    '/diffusion/training/flip',
    'false, as boxes are not mirrored',
    diffusion.training.flip,
    setting({ '/diffusion/training/flip': false }),
  ),
  ...newWordRules(diffusion),
  ...unetRules(experiment, diffusion),
  ...scheduleRules(diffusion),
  ...objectiveRules(diffusion, diffusion.schedule.kind === 'flow'),
  ...trainingRules('/diffusion/training', diffusion.training),
  ...samplingRules(experiment, diffusion),
]

const stageRules = (experiment: Experiment): Problems => {
  const firstStage = autoencoderOf(experiment)
  return firstStage === undefined
    ? unless(
        experiment.diffusion !== undefined,
        '/diffusion',
        'a diffusion model, as nothing else is trained without a first stage',
        'nothing',
      )
    : firstStageRules(experiment, firstStage)
}

/** An experiment whose fields fit each other. Errors: `config`, all that stand side by side. */
export const crossChecks = (experiment: Experiment): Checked<Experiment> =>
  pipe(
    refusing([
      ...stageRules(experiment),
      ...(experiment.diffusion === undefined ? [] : diffusionRules(experiment, experiment.diffusion)),
    ]),
    E.map(() => experiment),
  )
