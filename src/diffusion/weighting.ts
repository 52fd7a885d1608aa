import { add, div, exp, log, minimum, mul, scalar, sqrt, square, type Tensor } from '../declare/index.ts'
import { pipe } from '../prelude.ts'
import type { Mixture, Parameterization } from './parameterization.ts'

/**
 * How much the error at a level of noise counts:
 * - `simple`: the target's own error, everywhere alike (Ho et al. 2020, equation 14)
 * - `min-snr`: the error of x_0 by min(SNR, gamma) (Hang et al. 2023, section 3.4)
 * - `p2`: the error of eps by 1 / (k + SNR)^gamma (Choi et al. 2022, equation 8)
 * - `debiased`: the error of eps by 1 / sqrt(SNR) (Yu et al. 2024)
 *
 * All but the first say the same of every target: an error of v or of the velocity counts as what it is an error of in x_0.
 */
export type Weighting =
  | { readonly kind: 'simple' }
  | { readonly kind: 'min-snr'; readonly gamma: number }
  | { readonly kind: 'p2'; readonly k: number; readonly gamma: number }
  | { readonly kind: 'debiased' }

/** alpha^2 / sigma^2 */
export const snr = ({ alpha, sigma }: Mixture): Tensor => pipe(alpha, div(sigma), square)

/** (d x_0 / d prediction)^2: the squared error of x_0 that one of a prediction at x_t makes. */
const sensitivities: { readonly [P in Parameterization]: (m: Mixture) => Tensor } = {
  eps: ({ alpha, sigma }) => pipe(sigma, div(alpha), square),
  x0: () => scalar(1),
  v: ({ alpha, sigma }) => pipe(sigma, div(pipe(square(alpha), add(square(sigma)))), square),
  flow: ({ alpha, sigma }) => pipe(sigma, div(pipe(alpha, add(sigma))), square),
}
/** What the squared error of a prediction is multiplied by to be that of the x_0 it implies. */
export const errorOfX0 = (predicts: Parameterization, m: Mixture): Tensor => sensitivities[predicts](m)

type Weighed = Exclude<Weighting, { readonly kind: 'simple' }>
const ofX0: { readonly [K in Weighed['kind']]: (w: Extract<Weighed, { readonly kind: K }>, ratio: Tensor) => Tensor } =
  {
    'min-snr': ({ gamma }, ratio) => pipe(ratio, minimum(gamma)),
    p2: ({ k, gamma }, ratio) => pipe(ratio, mul(pipe(ratio, add(k), log, mul(-gamma), exp))),
    debiased: (_, ratio) => sqrt(ratio),
  }
const weightOfX0 = <K extends Weighed['kind']>(
  kind: K,
  w: Extract<Weighed, { readonly kind: K }>,
  ratio: Tensor,
): Tensor => ofX0[kind](w, ratio)

/** What the squared error of a prediction is multiplied by at a mixture; nothing where it is left as it is. */
export const weightOf = (w: Weighting, predicts: Parameterization, m: Mixture): Tensor | undefined =>
  w.kind === 'simple' ? undefined : pipe(weightOfX0(w.kind, w, snr(m)), mul(errorOfX0(predicts, m)))
