import { add, concat, mul, type Operand, split, sub, type Tensor } from '../declare/index.ts'
import { pipe, RR } from '../prelude.ts'
import { once } from './once.ts'
import type { Parameterization } from './parameterization.ts'

/**
 * A network that says of x_t, at times t ([N], whole or fractional), what was mixed into it; conditioning is closed over. It knows
 * what it predicts, so that no prediction of one kind is taken for another.
 */
export interface Denoiser<P extends Parameterization = Parameterization> {
  (xt: Tensor, t: Tensor): Tensor
  readonly predicts: P
  /**
   * Of a network that learnt its variance (Nichol and Dhariwal 2021, equation 15): v, the share of the larger of the two bounds'
   * logarithms, for each number of x. The same call of the network gives it.
   */
  readonly variance?: (xt: Tensor, t: Tensor) => Tensor
}

/**
 * Gives a function its parameterization.
 *
 * ```ts
 * const eps = denoiser('eps', (x, t) => unet(x, t, context))
 * ```
 */
export const denoiser = <P extends Parameterization>(
  predicts: P,
  predict: (xt: Tensor, t: Tensor) => Tensor,
): Denoiser<P> => Object.assign((xt: Tensor, t: Tensor) => predict(xt, t), { predicts })

const combine = (scale: Operand, conditional: Tensor, unconditional: Tensor): Tensor =>
  pipe(conditional, sub(unconditional), mul(scale), add(unconditional))

/** Guided denoisers have the variance that the conditional one has learnt. */
const withVariance = <P extends Parameterization>(d: Denoiser<P>, variance: Denoiser['variance']): Denoiser<P> =>
  variance === undefined ? d : Object.assign(d, { variance })

/**
 * Classifier-free guidance: u + scale (c - u) (Ho and Salimans 2022, with scale = 1 + w). Scale 1 is the conditional
 * denoiser, 0 the unconditional one. Both predict the same thing.
 *
 * ```ts
 * const guided = guide(3)(denoiserOf(cat), denoiserOf(nothing))
 * ```
 */
export const guide =
  (scale: Operand) =>
  <P extends Parameterization>(conditional: Denoiser<P>, unconditional: Denoiser<NoInfer<P>>): Denoiser<P> =>
    withVariance(
      denoiser(conditional.predicts, (xt, t) => combine(scale, conditional(xt, t), unconditional(xt, t))),
      conditional.variance,
    )

/** Conditioning tensors by name, each with the batch on axis 0. */
export type Conditioning<K extends string = string> = Readonly<Record<K, Tensor>>

/**
 * The same with one call of the network on a doubled batch, unconditional half first (as CompVis' samplers do).
 *
 * ```ts
 * const guided = guideTogether(3)((c) => denoiser('eps', (x, t) => unet(x, t, c.context)),
 *   { conditional: { context }, unconditional: { context: empty } })
 * ```
 */
export const guideTogether =
  (scale: Operand) =>
  <P extends Parameterization, K extends string>(
    denoiserOf: (c: Conditioning<K>) => Denoiser<P>,
    given: { readonly conditional: Conditioning<K>; readonly unconditional: Conditioning<NoInfer<K>> },
  ): Denoiser<P> => {
    const both = denoiserOf(twofold(given))
    const doubled = once((xt, t) => [concat(0, xt, xt), concat(0, t, t)] as const)
    const { variance } = both
    return withVariance(
      denoiser(both.predicts, (xt, t) => {
        const [unconditional = xt, conditional = xt] = pipe(both(...doubled(xt, t)), split(2, 0))
        return combine(scale, conditional, unconditional)
      }),
      variance && ((xt, t) => pipe(variance(...doubled(xt, t)), split(2, 0))[1] ?? xt),
    )
  }

const twofold = <K extends string>(given: {
  readonly conditional: Conditioning<K>
  readonly unconditional: Conditioning<K>
}): Conditioning<K> => RR.mapWithIndex((k: K, c: Tensor) => concat(0, given.unconditional[k], c))(given.conditional)
