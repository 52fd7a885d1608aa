import { add, constant, div, exp, mean, mul, parameter, type Scope, type Tensor } from '../declare/index.ts'
import { float } from '../graph/types.ts'
import { distance, itemMean, type Loss, type Norm } from '../losses/reconstruction.ts'
import { pipe } from '../prelude.ts'
import type { Column, NoiseSchedule } from '../schedulers/noise-schedule.ts'
import type { Denoiser } from './denoiser.ts'
import { extract, mixtureAt } from './forward.ts'
import { mix, target } from './parameterization.ts'

/** What an objective has where fields are left out: those of DDPM. */
export const objectiveDefaults = { norm: 'l2', huberScale: 0.1, simpleWeight: 1, vlbWeight: 0 } as const

/** Weighs the parts of a diffusion loss. */
export interface DiffusionObjective {
  /** Default `l2`. */
  readonly norm?: Norm
  /** `l_simple_weight`; default 1. */
  readonly simpleWeight?: number
  /** `original_elbo_weight`; default 0. */
  readonly vlbWeight?: number
  /**
   * w_t of the variational bound, at each timestep. The right ones (`NoiseSchedule.vlbWeights`) where left out;
   * `NoiseSchedule.referenceVlbWeights` for those of CompVis' code.
   */
  readonly vlbWeights?: Column | Tensor
}

/** Clean samples, the noise to mix into them, timesteps int32[N]. */
export interface DiffusionBatch {
  readonly x0: Tensor
  readonly eps: Tensor
  readonly t: Tensor
}

/** Mean distance of prediction and target, of each item. */
const itemErrors = (s: NoiseSchedule, norm: Norm, denoise: Denoiser, { x0, eps, t }: DiffusionBatch): Tensor => {
  const mixture = mixtureAt(s, t, x0)
  const prediction = denoise(mix(mixture, { x0, eps }), t)
  return pipe(prediction, distance(norm, target(denoise.predicts, mixture, { x0, eps })), itemMean)
}

const at = (column: Column | Tensor, t: Tensor): Tensor => extract(column, t, t)

/** The error at each timestep weighed as in the bound, in nats a dimension with `l2`. */
const vlb =
  (s: NoiseSchedule, weights: Column | Tensor | undefined, predicts: Denoiser['predicts'], t: Tensor) =>
  (errors: Tensor): Tensor =>
    pipe(errors, mul(at(weights ?? s.vlbWeights[predicts], t)), mean())

/**
 * L_simple (Ho et al. 2020, equation 14) with a share of the variational bound: `DDPM.p_losses` in CompVis latent-diffusion,
 * `ldm/models/diffusion/ddpm.py`.
 */
export const ddpmLoss =
  (s: NoiseSchedule, objective: DiffusionObjective = {}) =>
  (denoise: Denoiser, batch: DiffusionBatch): Loss<'loss_simple' | 'loss_vlb' | 'loss'> => {
    const { norm, simpleWeight, vlbWeight, vlbWeights } = { ...objectiveDefaults, ...objective }
    const errors = itemErrors(s, norm, denoise, batch)
    const simple = mean()(errors)
    const bound = pipe(errors, vlb(s, vlbWeights, denoise.predicts, batch.t))
    const loss = pipe(simple, mul(simpleWeight), add(pipe(bound, mul(vlbWeight))))
    return { loss, log: { loss_simple: simple, loss_vlb: bound, loss } }
  }

/**
 * The same with a log-variance of the error at each timestep, [T]: errors are divided by exp(logvar[t]), and logvar[t] is
 * added (`LatentDiffusion.p_losses` of the same file, which always does so; see `learnedLogvar` and `fixedLogvar`).
 */
export const latentDiffusionLoss =
  (s: NoiseSchedule, { logvar, ...objective }: DiffusionObjective & { readonly logvar: Tensor }) =>
  (denoise: Denoiser, batch: DiffusionBatch): Loss<'loss_simple' | 'loss_gamma' | 'logvar' | 'loss_vlb' | 'loss'> => {
    const { norm, simpleWeight, vlbWeight, vlbWeights } = { ...objectiveDefaults, ...objective }
    const errors = itemErrors(s, norm, denoise, batch)
    const logvarAt = at(logvar, batch.t)
    const gamma = pipe(errors, div(exp(logvarAt)), add(logvarAt), mean())
    const bound = pipe(errors, vlb(s, vlbWeights, denoise.predicts, batch.t))
    const loss = pipe(gamma, mul(simpleWeight), add(pipe(bound, mul(vlbWeight))))
    return {
      loss,
      log: { loss_simple: mean()(errors), loss_gamma: gamma, logvar: mean()(logvar), loss_vlb: bound, loss },
    }
  }

/** The reference's `logvar` with `learn_logvar`: a parameter, here in the optimiser's reach; at first `logvar_init` everywhere. */
export const learnedLogvar = (scope: Scope, timesteps: number, initial = 0): Tensor =>
  parameter(scope, 'logvar', [timesteps], { kind: 'constant', value: initial })
/** The reference's `logvar` without: `logvar_init` at every timestep. */
export const fixedLogvar = (timesteps: number, value = 0): Tensor => constant([value], float(timesteps))
