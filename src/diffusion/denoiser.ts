import {
  add,
  concat,
  div,
  maximum,
  mean,
  mul,
  type Operand,
  split,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
} from '../declare/index.ts'
import { pipe, RR } from '../prelude.ts'
import { grad } from '../transform/grad.ts'
import { once } from './once.ts'
import { type Mixture, type Parameterization, recover, target } from './parameterization.ts'

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

/** How guided predictions are kept in bounds. */
export interface GuidanceOptions {
  /**
   * How far what is said is brought back to the standard deviation that the conditional denoiser gives it, 0 to 1: strong guidance
   * leaves pictures too bright (Lin et al. 2024, equations 15 and 16). Default 0.
   */
  readonly rescale?: number
}

/** The standard deviation of the numbers of each item, [N, 1, ...]. */
const deviation = (x: Tensor): Tensor => {
  const over = { axes: x.shape.map((_, i) => i).slice(1), keepDims: true }
  return pipe(x, sub(pipe(x, mean(over))), square, mean(over), sqrt)
}

const combine = (scale: Operand, conditional: Tensor, other: Tensor, { rescale = 0 }: GuidanceOptions): Tensor => {
  const guided = pipe(conditional, sub(other), mul(scale), add(other))
  if (rescale === 0) return guided
  const back = pipe(deviation(conditional), div(pipe(deviation(guided), maximum(leastDeviation))))
  return pipe(guided, mul(pipe(back, mul(rescale), add(1 - rescale))))
}
/** What says the same everywhere is not divided by 0. */
const leastDeviation = 1e-12

/** Guided denoisers have the variance that the conditional one has learnt. */
const withVariance = <P extends Parameterization>(d: Denoiser<P>, variance: Denoiser['variance']): Denoiser<P> =>
  variance === undefined ? d : Object.assign(d, { variance })

/**
 * Classifier-free guidance: u + scale (c - u) (Ho and Salimans 2022, with scale = 1 + w). Scale 1 is the conditional
 * denoiser, 0 the other one. Both predict the same thing. The other is the model without its condition, under a condition that is
 * not wanted (negative), or a weaker model under the same condition (autoguidance, Karras et al. 2024, equation 3).
 *
 * ```ts
 * const guided = guide(3)(denoiserOf(cat), denoiserOf(nothing))
 * const away = guide(3, { rescale: 0.7 })(denoiserOf(cat), denoiserOf(blurred))
 * const auto = guide(2)(good, bad)
 * ```
 */
export const guide =
  (scale: Operand, options: GuidanceOptions = {}) =>
  <P extends Parameterization>(conditional: Denoiser<P>, other: Denoiser<NoInfer<P>>): Denoiser<P> =>
    withVariance(
      denoiser(conditional.predicts, (xt, t) => combine(scale, conditional(xt, t), other(xt, t), options)),
      conditional.variance,
    )

/**
 * Guidance by a classifier of noisy samples: eps - scale sigma grad log p(y | x_t) (Dhariwal and Nichol 2021, algorithm 2), said in
 * the denoiser's own parameterization. `mixture` is that of x_t: in a step graph `stepMixture()`.
 *
 * ```ts
 * const logits = encoderUNet('classifier', config)
 * const guided = guideByClassifier(2, (x, t) => pipe(oneHot(10)(labels), mul(logSoftmax(1)(logits(x, t)))), stepMixture())(eps)
 * ```
 */
export const guideByClassifier =
  (scale: Operand, logProbability: (xt: Tensor, t: Tensor) => Tensor, mixture: Mixture) =>
  <P extends Parameterization>(unguided: Denoiser<P>): Denoiser<P> =>
    withVariance(
      denoiser(unguided.predicts, (xt, t) => {
        const said = recover(unguided.predicts, mixture, xt, unguided(xt, t))
        const [slope = xt] = grad(pipe(logProbability(xt, t), sum()), [xt])
        const push = pipe(slope, mul(scale), mul(mixture.sigma))
        return target(unguided.predicts, mixture, {
          x0: pipe(said.x0, add(pipe(push, mul(mixture.sigma), div(mixture.alpha)))),
          eps: pipe(said.eps, sub(push)),
        })
      }),
      unguided.variance,
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
  (scale: Operand, options: GuidanceOptions = {}) =>
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
        return combine(scale, conditional, unconditional, options)
      }),
      variance && ((xt, t) => pipe(variance(...doubled(xt, t)), split(2, 0))[1] ?? xt),
    )
  }

const twofold = <K extends string>(given: {
  readonly conditional: Conditioning<K>
  readonly unconditional: Conditioning<K>
}): Conditioning<K> => RR.mapWithIndex((k: K, c: Tensor) => concat(0, given.unconditional[k], c))(given.conditional)
