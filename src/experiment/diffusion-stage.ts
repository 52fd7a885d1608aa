import { concat, freeze, input, maximum, minimum, neg, noise, type Tensor } from '../declare/index.ts'
import {
  bitsGraph,
  type Decoder,
  type Denoiser,
  type DrawnTimes,
  denoiser,
  denoisingLoss,
  drawTimes,
  guideTogether,
  type ImportanceTimes,
  importanceTimes,
  type Process,
  scaleFactor,
  scaleLatents,
  varianceDenoiser,
} from '../diffusion/index.ts'
import { diagonalGaussian, sample } from '../distributions/gaussian.ts'
import { type Checked, fail } from '../error.ts'
import { feedTypes, type Graph } from '../graph/graph.ts'
import { float, type Shape } from '../graph/types.ts'
import type { Loss } from '../losses/index.ts'
import type { ControlNetConfig } from '../nn/controlnet.ts'
import type { Buffers } from '../nn/stateful.ts'
import { unet } from '../nn/unet/unet.ts'
import { E, pipe, RR } from '../prelude.ts'
import { chain, ddimInversion, planSampling, type SamplingPlan, stepGraph, type Watched } from '../samplers/index.ts'
import type { Path } from '../schedulers/path.ts'
import { optimise } from '../transform/index.ts'
import { conditionerWith, trainingAdapter, withAdapter } from './adapter.ts'
import { type Conditioner, conditionerOf, conditioningLeaves, type Told } from './conditioning.ts'
import { controlNetOf, controlOf } from './control.ts'
import type { Diffusion } from './document.ts'
import { denoisingObjective, noiseOf } from './objective-terms.ts'
import type { Own } from './own.ts'
import { processOf } from './process.ts'
import { keepOf, planOf, type Sampling, samplingLevels } from './sampling.ts'
import { type Diffused, spaceOf } from './space.ts'

/** The graphs of diffusion on the latents of a frozen first stage, or on pictures: its loss, and a sampler's step. */

/** Leaves of the diffusion stage's graphs, beside the U-Net's parameters and the samplers' leaves. */
export const diffusionLeaves = {
  ...conditioningLeaves,
  moments: 'moments',
  scale: 'scale_factor',
  guidance: 'guidance',
} as const

/** A diffusion model over latents of a shape [C, h, w], of data with a number of classes. */
export interface LatentDiffusion {
  readonly config: Diffusion
  readonly process: Process
  /** Along which samplers walk. */
  readonly path: Path
  readonly latent: Shape
  readonly classes: number
  readonly conditioner: Conditioner
  /** A ControlNet that is trained beside the U-Net. */
  readonly control?: ControlNetConfig
  /** What pictures are encoded to: moments of a posterior, latents that are not quantised yet, or nothing else than they are. */
  readonly encodes: Diffused['kind']
  /** Whether predictions of x_0 are kept in the range of pictures while sampling. */
  readonly clip: boolean
  /** What a program gives of it. */
  readonly own: Own
}

/** The label that stands for "no class", behind the data's own. */
export const nullLabel = ({ classes }: LatentDiffusion): number => classes

/** What the U-Net embeds beside the time, as the condition says. */
const embedded = ({ classes, vector }: Conditioner): Partial<Diffusion['unet']> => ({
  ...(classes === null ? {} : { classes }),
  ...(vector === undefined ? {} : { vector }),
})

export const latentDiffusion = (
  config: Diffusion,
  on: Diffused,
  classes: number,
  own: Own = {},
): Checked<LatentDiffusion> => {
  const space = spaceOf(on, classes)
  const conditioner = conditionerWith(
    config.adapter,
    config.conditioning,
    conditionerOf(config.conditioning, space),
    space,
  )
  const unetOf = { ...config.unet, ...embedded(conditioner) }
  return pipe(
    processOf(config.schedule),
    E.map((process) => ({
      config: { ...config, unet: unetOf },
      ...(config.adapter?.kind === 'controlnet' ? { control: controlNetOf(config.adapter, unetOf, space) } : {}),
      process,
      path: process.path,
      latent: space.latent,
      classes,
      conditioner,
      encodes: on.kind,
      clip: on.kind === 'identity' && on.clip,
      own,
    })),
  )
}

/** What the network sees at x_t, told of a condition: `DiffusionWrapper` of ldm/models/diffusion/ddpm.py. */
const network =
  ({ config, control, own }: LatentDiffusion, training: boolean) =>
  (all: Told): Denoiser => {
    const { beside, hint: _, ...given } = all
    return (config.variance.kind === 'learned' ? varianceDenoiser : denoiser)(config.predicts, (xt, t) => {
      const x = beside === undefined ? xt : concat(1, xt, beside)
      const told: readonly (Tensor | undefined)[] = Object.values(given)
      const residuals = control && controlOf(control, xt, t, all, { training })
      const said =
        own.unet === undefined
          ? unet('', config.unet, { training })(x, t, { ...given, residuals })
          : own.unet(x, t, given, { training })
      return withAdapter(config.adapter, said, [x, t, ...told.filter((y) => y !== undefined)])
    })
  }

const asTheyAre = ({ latent }: LatentDiffusion, batch: number): Tensor =>
  input(diffusionLeaves.moments, float(batch, ...latent))
/** Latents of what pictures were encoded to: drawn from posteriors, or as they are. */
const latentsOf: { readonly [K in Diffused['kind']]: (m: LatentDiffusion, batch: number) => Tensor } = {
  kl: ({ latent: [c = 0, ...positions] }, batch) => {
    const posterior = diagonalGaussian(input(diffusionLeaves.moments, float(batch, 2 * c, ...positions)))
    return pipe(posterior, sample(noise('posterior', posterior.mean.shape)))
  },
  vq: asTheyAre,
  identity: asTheyAre,
}

/** Pictures have 256 levels, latents none. */
const decoderOf = ({ encodes }: LatentDiffusion, scale: Tensor): Decoder =>
  encodes === 'identity' ? { kind: 'pixels', scale } : { kind: 'density' }

/** A loss, and what is remembered of it. */
export type Trained = Loss & { readonly buffers?: Buffers }

/** Times of a batch; of one that is not trained on uniform ones where training remembers losses. */
const timesOf = (
  { config: { timestepSampling, schedule }, process }: LatentDiffusion,
  batch: number,
  training: boolean,
): DrawnTimes & Partial<ImportanceTimes> =>
  timestepSampling.kind !== 'importance'
    ? drawTimes(process, timestepSampling, batch)
    : training
      ? importanceTimes('', schedule.timesteps, batch)
      : drawTimes(process, { kind: 'uniform' }, batch)

/**
 * The loss of a batch, from what the first stage makes of each picture: latents are scaled, mixed with noise at timesteps
 * drawn as declared (Rombach et al. 2022, equation 2).
 */
export const diffusionLoss = (m: LatentDiffusion, batch: number, training = true): Trained => {
  const { config, process, own } = m
  const scale = scaleFactor('')
  const x0 = pipe(latentsOf[m.encodes](m, batch), scaleLatents(scale))
  const objective = {
    ...denoisingObjective(config, decoderOf(m, scale)),
    ...(own.loss === undefined ? {} : { distance: own.loss }),
  }
  const told = (training ? m.conditioner.trained : m.conditioner.given)(batch, scale)
  const { record, ...times } = timesOf(m, batch, training)
  const { loss, log, each } = denoisingLoss(process, objective)(network(m, training)(told), {
    x0,
    ...noiseOf(config, x0),
    ...times,
  })
  const trained = record === undefined ? { loss, log } : { loss, log, buffers: record(each) }
  return config.adapter === undefined ? trained : trainingAdapter(trained)
}

/** What the first stage makes of pictures that are not trained on, at the noise and timesteps that are fed: each with its label. */
export const diffusionValidation = (m: LatentDiffusion, batch: number): Checked<Graph> => {
  const { loss, log } = diffusionLoss(m, batch, false)
  return pipe(freeze({ ...log, loss }), E.map(optimise))
}

/** Where pictures are, [-1, 1], as far as they are scaled. */
const inRange =
  (scale: Tensor) =>
  (x0: Tensor): Tensor =>
    pipe(x0, maximum(neg(scale)), minimum(scale))

/**
 * The terms of the variational bound for so many encoded pictures, at the timesteps that are fed; in bits a dimension of the pictures'
 * 256 levels, or of the density of latents as they are scaled. Errors (`config`): a flow, whose bound has no terms.
 */
export const bitsProgram = (m: LatentDiffusion, batch: number): Checked<Graph> => {
  const { schedule } = m.process
  if (schedule === undefined)
    return fail(
      'config',
      '/diffusion/schedule/kind',
      'a schedule of timesteps, for a bound that is a sum over them',
      m.config.schedule.kind,
    )
  const scale = scaleFactor('')
  const x0 = pipe(latentsOf[m.encodes](m, batch), scaleLatents(scale))
  const eps = noise('eps', x0.shape)
  const options = { decoder: decoderOf(m, scale), ...(m.clip ? { keep: inRange(scale) } : {}) }
  const { given, walked = given } = m.conditioner
  return pipe(bitsGraph(schedule, network(m, false)(walked(batch)), { x0, eps }, options), E.map(optimise))
}

/** One step of sampling, compiled once for all steps, and the numbers of each. */
export interface SamplingProgram {
  readonly graph: Graph
  readonly plan: SamplingPlan
}

/** What of a drawing a graph is built for, beside the sampling that is declared. */
export interface ProgramOptions {
  /** What each step is to give beside x. */
  readonly watch?: readonly Watched[]
  /** Whether a part of the picture is known. */
  readonly inpaint?: boolean
  /** The share of the walk that is walked, its end; 1 where left out. */
  readonly strength?: number
  /** Whether guidance leads away from what is fed as negative; from no condition where left out. */
  readonly negative?: boolean
}

/** What a model is told, guided away from what it is told without a condition, or from another. */
const guided = (m: LatentDiffusion, sampling: Sampling, batch: number, negative = false): Denoiser => {
  const { given, walked = given, nothing, away: fed } = m.conditioner
  const away = (negative ? fed : nothing)?.(batch)
  if (sampling.guidance === 1 || away === undefined) return network(m, false)(walked(batch))
  const conditional: Readonly<Record<string, Tensor>> = { ...walked(batch) }
  const unconditional: Readonly<Record<string, Tensor>> = { ...away }
  const scale = input(diffusionLeaves.guidance, float())
  return guideTogether(scale, { rescale: sampling.guidanceRescale })(network(m, false), { conditional, unconditional })
}

/** The step graph of a sampler over a batch, and the numbers of each step. */
export const samplingProgram = (
  m: LatentDiffusion,
  sampling: Sampling,
  batch: number,
  { watch = [], inpaint = false, strength = 1, negative = false }: ProgramOptions = {},
): Checked<SamplingProgram> => {
  const keep = keepOf(sampling) ?? (m.clip ? inRange(input(diffusionLeaves.scale, float())) : undefined)
  const options = { shape: [batch, ...m.latent], watch, inpaint, ...(keep === undefined ? {} : { keep }) }
  return pipe(
    planOf(sampling, m.path, strength, m.own.sampler),
    E.bindTo('plan'),
    E.bind('graph', ({ plan }) => stepGraph(plan, guided(m, sampling, batch, negative), options)),
    E.map(({ plan, graph }) => ({ graph: optimise(graph), plan })),
  )
}

/** What is computed once before a walk, by the leaves that its graph is fed it through: all where no graph is given; undefined where nothing is. */
export const aheadProgram = (
  { conditioner: { ahead } }: LatentDiffusion,
  batch: number,
  walk?: Graph,
): Checked<Graph> | undefined => {
  const leaves = walk && feedTypes(walk)
  const wanted = RR.filterWithIndex((name: string) => leaves === undefined || Object.hasOwn(leaves, name))(
    ahead?.(batch) ?? {},
  )
  return Object.keys(wanted).length === 0 ? undefined : pipe(freeze(wanted), E.map(optimise))
}

/** What is computed once of texts before training; undefined where nothing is. */
export const learntAheadProgram = (
  { conditioner: { learntAhead } }: LatentDiffusion,
  batch: number,
): Checked<Graph> | undefined => learntAhead && pipe(freeze(learntAhead(batch)), E.map(optimise))

/** From pictures up to the noise that they would be drawn from, along the levels of a sampling; without guidance. */
export const inversionProgram = (m: LatentDiffusion, sampling: Sampling, batch: number): Checked<SamplingProgram> =>
  pipe(
    samplingLevels(sampling, m.path),
    E.flatMap((levels) => planSampling(ddimInversion(), m.path, chain(levels.toReversed()))),
    E.bindTo('plan'),
    E.bind('graph', ({ plan }) =>
      stepGraph(plan, guided(m, { ...sampling, guidance: 1 }, batch), { shape: [batch, ...m.latent] }),
    ),
    E.map(({ plan, graph }) => ({ graph: optimise(graph), plan })),
  )
