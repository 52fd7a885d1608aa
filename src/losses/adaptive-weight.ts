import {
  add,
  at,
  buffer,
  clamp,
  div,
  mul,
  type Scope,
  sqrt,
  squaredNorm,
  stopGradient,
  type Tensor,
} from '../declare/index.ts'
import type { Buffers } from '../nn/stateful.ts'
import { pipe } from '../prelude.ts'
import { about, type Decoded, describedRecord, number, withDefault } from '../schema.ts'
import { grad } from '../transform/index.ts'

/** Those of the reference. */
export const adaptiveWeightDefaults = { weight: 1, cap: 1e4, smoothing: 0 } as const

/** How the discriminator is weighed against the reconstruction. */
export const adaptiveWeightConfig = describedRecord(
  {},
  {
    weight: about(
      'What the ratio of the gradient norms is multiplied by [disc_weight]: more of it gives sharper pictures that are less like the originals.',
      withDefault(number({ min: 0, max: 1e6 }), adaptiveWeightDefaults.weight),
    ),
    cap: about(
      'The largest ratio of the norms; it keeps a vanishing adversarial gradient from being blown up.',
      withDefault(number({ min: 0, max: 1e12 }), adaptiveWeightDefaults.cap),
    ),
    smoothing: about(
      'The share of the past in a running average of the ratio; 0 for none, as in the reference.',
      withDefault(number({ min: 0, max: 0.9999 }), adaptiveWeightDefaults.smoothing),
    ),
  },
)
/** `adaptiveWeightConfig`, decoded. */
export type AdaptiveWeightConfig = Decoded<typeof adaptiveWeightConfig>

/** min(|a| / (|b| + 1e-4), cap): what makes the gradient b as long as a (Esser et al. 2021, equation 7). */
export const normRatio =
  (cap: number) =>
  (aNorm: Tensor, bNorm: Tensor): Tensor =>
    pipe(aNorm, div(pipe(bNorm, add(1e-4))), clamp(0, cap))

/** clamp(|a| / (|b| + 1e-4), 0, cap) weight */
export const lambda =
  ({
    weight = adaptiveWeightDefaults.weight,
    cap = adaptiveWeightDefaults.cap,
  }: Partial<Pick<AdaptiveWeightConfig, 'weight' | 'cap'>> = {}) =>
  (aNorm: Tensor, bNorm: Tensor): Tensor =>
    pipe(normRatio(cap)(aNorm, bNorm), mul(weight))

/** The weight of the contest in a step, and the norms that it comes from. */
export interface AdaptiveWeight {
  /** A scalar through which no gradient flows. */
  readonly weight: Tensor
  /** |d nll / d lastLayer| */
  readonly nllNorm: Tensor
  /** |d g / d lastLayer| */
  readonly gNorm: Tensor
  /** What the average carries to the next step; none without smoothing. */
  readonly buffers: Buffers
}

/** Adam's correction: both averages begin at 0, and their quotient is the mean of what they have seen. */
const averaged = (s: Scope, past: number, ratio: Tensor): { readonly ratio: Tensor; readonly buffers: Buffers } => {
  if (past === 0) return { ratio, buffers: {} }
  const next = (name: string, now: Tensor | number): Tensor =>
    pipe(
      buffer(s, name, [], { kind: 'zeros' }),
      mul(past),
      add(typeof now === 'number' ? now * (1 - past) : pipe(now, mul(1 - past))),
    )
  const [sum, mass] = [next('ratio', ratio), next('mass', 1)]
  return { ratio: pipe(sum, div(mass)), buffers: { [at(s, 'ratio')]: sum, [at(s, 'mass')]: mass } }
}

/**
 * `lambda` of the gradients of two losses at one parameter, the decoder's last. Both are walked back from the losses; a compiled
 * step shares these walks with its own. Buffers are named under the scope. Source: `calculate_adaptive_weight` of
 * taming/modules/losses/vqperceptual.py.
 */
export const adaptiveWeight =
  (s: Scope, { weight, cap, smoothing }: AdaptiveWeightConfig) =>
  ({ nll, g, lastLayer }: Readonly<Record<'nll' | 'g' | 'lastLayer', Tensor>>): AdaptiveWeight => {
    const normOf = (loss: Tensor): Tensor => {
      const [gradient = loss] = grad(loss, [lastLayer])
      return pipe(gradient, squaredNorm, sqrt, stopGradient)
    }
    const [nllNorm, gNorm] = [normOf(nll), normOf(g)]
    const { ratio, buffers } = averaged(s, smoothing, normRatio(cap)(nllNorm, gNorm))
    return { weight: pipe(ratio, mul(weight)), nllNorm, gNorm, buffers }
  }
