import { freeze, input, integers, less, noise, select, type Tensor } from '../declare/index.ts'
import {
  type Denoiser,
  denoiser,
  denoisingLoss,
  drawTimes,
  guideTogether,
  type Process,
  scaleFactor,
  scaleLatents,
  varianceDenoiser,
} from '../diffusion/index.ts'
import { diagonalGaussian, sample } from '../distributions/gaussian.ts'
import type { Checked } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import { float, int, type Shape } from '../graph/types.ts'
import type { Loss } from '../losses/index.ts'
import { unet } from '../nn/unet/unet.ts'
import { E, pipe } from '../prelude.ts'
import { type SamplingPlan, stepGraph, type Watched } from '../samplers/index.ts'
import type { Path } from '../schedulers/path.ts'
import { optimise } from '../transform/index.ts'
import type { Diffusion, FirstStage } from './document.ts'
import { latentShape } from './first-stage.ts'
import { denoisingObjective, noiseOf } from './objective-terms.ts'
import { processOf } from './process.ts'
import { planOf, type Sampling } from './sampling.ts'

/** The graphs of latent diffusion on a frozen first stage: its loss, and a sampler's step. */

/** Leaves of the diffusion stage's graphs, beside the U-Net's parameters and the samplers' leaves. */
export const diffusionLeaves = {
  moments: 'moments',
  labels: 'labels',
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
  /** What the first stage encodes pictures to: moments of a posterior, or latents that are not quantised yet. */
  readonly encodes: FirstStage['kind']
}

/** The label that stands for "no class", behind the data's own. */
export const nullLabel = ({ classes }: LatentDiffusion): number => classes

export const latentDiffusion = (config: Diffusion, firstStage: FirstStage, classes: number): Checked<LatentDiffusion> =>
  pipe(
    processOf(config.schedule),
    E.map((process) => ({
      config:
        config.conditioning.kind === 'class' ? { ...config, unet: { ...config.unet, classes: classes + 1 } } : config,
      process,
      path: process.path,
      latent: latentShape(firstStage.network),
      classes,
      encodes: firstStage.kind,
    })),
  )

type Conditioning = 'y'
const network =
  ({ config }: LatentDiffusion, training: boolean) =>
  (given: Readonly<Partial<Record<Conditioning, Tensor>>>): Denoiser =>
    (config.variance.kind === 'learned' ? varianceDenoiser : denoiser)(config.predicts, (xt, t) =>
      unet('', config.unet, { training })(xt, t, given),
    )

/** Replaces labels by "no class" with a probability, so that guidance has an unconditional model. */
const dropLabels =
  (m: LatentDiffusion, rate: number) =>
  (labels: Tensor): Tensor =>
    rate === 0
      ? labels
      : pipe(noise('label_dropout', labels.shape, 'uniform'), less(rate), select(integers([nullLabel(m)]), labels))

const conditioningOf = (m: LatentDiffusion, batch: number, training: boolean) => {
  const { conditioning } = m.config
  return conditioning.kind === 'none'
    ? {}
    : { y: pipe(input(diffusionLeaves.labels, int(batch)), dropLabels(m, training ? conditioning.dropout : 0)) }
}

/** Latents of what the first stage has encoded: drawn from posteriors, or as they are. */
const latentsOf: { readonly [K in FirstStage['kind']]: (m: LatentDiffusion, batch: number) => Tensor } = {
  kl: ({ latent: [c = 0, ...positions] }, batch) => {
    const posterior = diagonalGaussian(input(diffusionLeaves.moments, float(batch, 2 * c, ...positions)))
    return pipe(posterior, sample(noise('posterior', posterior.mean.shape)))
  },
  vq: ({ latent }, batch) => input(diffusionLeaves.moments, float(batch, ...latent)),
}

/**
 * The loss of a batch, from what the first stage makes of each picture: latents are scaled, mixed with noise at timesteps
 * drawn as declared (Rombach et al. 2022, equation 2).
 */
export const diffusionLoss = (m: LatentDiffusion, batch: number, training = true): Loss => {
  const { config, process } = m
  const x0 = pipe(latentsOf[m.encodes](m, batch), scaleLatents(scaleFactor('')))
  return denoisingLoss(process, denoisingObjective(config))(network(m, training)(conditioningOf(m, batch, training)), {
    x0,
    ...noiseOf(config, x0),
    ...drawTimes(process, config.timestepSampling, batch),
  })
}

/** What the first stage makes of pictures that are not trained on, at the noise and timesteps that are fed: each with its label. */
export const diffusionValidation = (m: LatentDiffusion, batch: number): Checked<Graph> => {
  const { loss, log } = diffusionLoss(m, batch, false)
  return pipe(freeze({ ...log, loss }), E.map(optimise))
}

/** One step of sampling, compiled once for all steps, and the numbers of each. */
export interface SamplingProgram {
  readonly graph: Graph
  readonly plan: SamplingPlan
}

const guided = (m: LatentDiffusion, { guidance }: Sampling, batch: number): Denoiser => {
  if (m.config.conditioning.kind === 'none') return network(m, false)({})
  const labels = input(diffusionLeaves.labels, int(batch))
  if (guidance === 1) return network(m, false)({ y: labels })
  return guideTogether(input(diffusionLeaves.guidance, float()))(network(m, false), {
    conditional: { y: labels },
    unconditional: { y: integers(Array.from({ length: batch }, () => nullLabel(m))) },
  })
}

/** The step graph of a sampler over a batch, and the numbers of each step; `watch` what each step is to give beside x. */
export const samplingProgram = (
  m: LatentDiffusion,
  sampling: Sampling,
  batch: number,
  watch: readonly Watched[] = [],
): Checked<SamplingProgram> =>
  pipe(
    planOf(sampling, m.path),
    E.bindTo('plan'),
    E.bind('graph', ({ plan }) => stepGraph(plan, guided(m, sampling, batch), { shape: [batch, ...m.latent], watch })),
    E.map(({ plan, graph }) => ({ graph: optimise(graph), plan })),
  )
