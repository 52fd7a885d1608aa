import { abs, add, mean, sqrt, square, sub, type Tensor } from '../declare/index.ts'
import { pipe } from '../prelude.ts'

/** How far a prediction is from its target, elementwise. */
export const norms = ['l1', 'l2'] as const
/** A distance of numbers, by name. */
export type Norm = (typeof norms)[number]

const distances: { readonly [N in Norm]: (difference: Tensor) => Tensor } = { l1: abs, l2: square }

/** |target - x| or (target - x)^2, elementwise. */
export const distance =
  (norm: Norm, target: Tensor) =>
  (x: Tensor): Tensor =>
    distances[norm](pipe(target, sub(x)))

/**
 * sqrt(d^2 + c^2) - c, elementwise: d^2 / 2c near 0, |d| - c far away (Charbonnier et al. 1994; in diffusion Song and Dhariwal 2024,
 * equation 9, over whole items).
 */
export const pseudoHuber =
  (c: number, target: Tensor) =>
  (x: Tensor): Tensor =>
    pipe(target, sub(x), square, add(c ** 2), sqrt, sub(c))

/** The mean of each item, [N]. */
export const itemMean = (x: Tensor): Tensor => pipe(x, mean({ axes: x.shape.map((_, i) => i).slice(1) }))

/** A scalar to minimise, and scalars to report under the reference's names. */
export interface Loss<Log extends string = string> {
  readonly loss: Tensor
  readonly log: Readonly<Record<Log, Tensor>>
}
