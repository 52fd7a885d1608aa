import { add, div, exp, mean, mul, stopGradient, type Tensor } from '../declare/index.ts'
import { distance, itemMean, type Loss } from '../losses/reconstruction.ts'
import { identity, pipe } from '../prelude.ts'
import { boundTerm, type Decoder, learnedLogVariance } from './bound.ts'
import type { Denoiser } from './denoiser.ts'
import { extract } from './forward.ts'
import { type DiffusionBatch, objectiveDefaults } from './objective.ts'
import { type Mixture, mix, recover, target } from './parameterization.ts'
import type { Process } from './process.ts'
import type { DrawnTimes } from './times.ts'
import { type Weighting, weightOf } from './weighting.ts'

/** A loss along any process, of parts that are left out where they are not asked for. */
export interface DenoisingObjective {
  /** Of a prediction and its target, elementwise; the square of their difference where left out. */
  readonly distance?: (target: Tensor) => (prediction: Tensor) => Tensor
  readonly weighting?: Weighting
  /** Of the variational bound's part for the mean; default 0. */
  readonly vlbWeight?: number
  /** Log-variances of the errors at each timestep, [T] (`latentDiffusionLoss`). */
  readonly logvar?: Tensor
  /** Of a network that learns its variance: the whole bound, which teaches the variance alone (L_hybrid). */
  readonly variance?: { readonly weight: number; readonly decoder: Decoder }
}

/** A batch of `denoisingLoss`, with how its times were drawn. */
export interface DenoisingBatch extends DiffusionBatch, Pick<DrawnTimes, 'correction' | 'corrects'> {
  /** What is mixed in where it is not the noise that is asked for (input perturbation). */
  readonly mixed?: Tensor
}

const corrected =
  ({ correction }: DenoisingBatch) =>
  (terms: Tensor): Tensor =>
    correction === undefined ? terms : pipe(terms, mul(correction))

/** The loss, what is reported beside it, and each item's own. */
export interface DenoisingLoss extends Loss {
  /** The whole loss of each item, [N], not corrected for how times are drawn. */
  readonly each: Tensor
}

/**
 * T times the bound's term at t, in bits a dimension, with no gradient to the mean (Nichol and Dhariwal 2021, section 3.1); nothing where no
 * variance is learnt.
 */
const varianceBound = (
  { schedule }: Process,
  decoder: Decoder,
  denoise: Denoiser,
  mixture: Mixture,
  xt: Tensor,
  said: Tensor,
  { x0, t }: DenoisingBatch,
): Tensor | undefined => {
  const share = denoise.variance?.(xt, t)
  if (schedule === undefined || share === undefined) return undefined
  const { x0: predX0 } = recover(denoise.predicts, mixture, xt, stopGradient(said))
  const step = { predX0, logVariance: learnedLogVariance(schedule, share, t) }
  return pipe(boundTerm(schedule, { x0, xt, t }, step, decoder), mul(schedule.timesteps))
}

/**
 * The error of predictions, weighed, with shares of the variational bound. Reported beside `loss`: `loss_simple`, unweighed, and `loss_vlb`;
 * what is asked for of `loss_weighed`, `loss_gamma` with `mean_logvar`, `loss_variance`.
 *
 * ```ts
 * denoisingLoss(flowProcess(), { distance: (y) => pseudoHuber(0.1, y) })(denoise, { x0, eps, ...drawTimes(flow, uniform, n) })
 * ```
 */
export const denoisingLoss =
  (along: Process, objective: DenoisingObjective = {}) =>
  (denoise: Denoiser, batch: DenoisingBatch): DenoisingLoss => {
    const { weighting = { kind: 'simple' }, logvar, variance, vlbWeight = objectiveDefaults.vlbWeight } = objective
    const { distance: far = (y: Tensor) => distance(objectiveDefaults.norm, y) } = objective
    const { x0, eps, mixed = eps, t } = batch
    const mixture = along.mixtureAt(t, x0)
    const xt = mix(mixture, { x0, eps: mixed })
    const said = denoise(xt, t)
    const errors = pipe(said, far(target(denoise.predicts, mixture, { x0, eps })), itemMean)
    const weight = weightOf(weighting, denoise.predicts, along.mixtureAt(t, t))
    const weighed = weight === undefined ? errors : pipe(errors, mul(weight))
    const spread = logvar === undefined ? undefined : extract(logvar, t, t)
    const each = spread === undefined ? weighed : pipe(weighed, div(exp(spread)), add(spread))
    const simple = pipe(each, batch.corrects === 'everything' ? corrected(batch) : identity, mean())
    const terms = pipe(errors, mul(along.vlbWeight(denoise.predicts, t)))
    const bound = pipe(terms, corrected(batch), mean())
    const whole =
      variance === undefined ? undefined : varianceBound(along, variance.decoder, denoise, mixture, xt, said, batch)
    const learnt = whole === undefined ? undefined : pipe(whole, corrected(batch), mean())
    const parts = pipe(simple, mul(objectiveDefaults.simpleWeight), add(pipe(bound, mul(vlbWeight))))
    const loss = learnt === undefined ? parts : pipe(parts, add(pipe(learnt, mul(variance?.weight ?? 0))))
    const own = pipe(each, mul(objectiveDefaults.simpleWeight), add(pipe(terms, mul(vlbWeight))))
    return {
      loss,
      each: whole === undefined ? own : pipe(own, add(pipe(whole, mul(variance?.weight ?? 0)))),
      log: {
        loss_simple: mean()(errors),
        ...(weight === undefined ? {} : { loss_weighed: mean()(weighed) }),
        ...(logvar === undefined ? {} : { loss_gamma: simple, mean_logvar: mean()(logvar) }),
        loss_vlb: bound,
        ...(learnt === undefined ? {} : { loss_variance: learnt }),
        loss,
      },
    }
  }
