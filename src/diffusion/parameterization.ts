import { add, div, mul, square, sub, type Tensor } from '../declare/index.ts'
import { pipe } from '../prelude.ts'

/**
 * What a network predicts from x_t = alpha x_0 + sigma eps:
 * - `eps`: the noise (Ho et al. 2020)
 * - `x0`: the clean sample
 * - `v`: alpha eps - sigma x_0 (Salimans and Ho 2022, appendix D)
 * - `flow`: eps - x_0, the velocity of rectified flow (Liu et al. 2023, equation 1)
 */
export const parameterizations = ['eps', 'x0', 'v', 'flow'] as const
/** What a network predicts: the noise, x_0, v = alpha eps - sigma x_0, or the velocity of a flow, eps - x_0. */
export type Parameterization = (typeof parameterizations)[number]

/** The shares of signal and noise in x_t, broadcast against it; on a schedule sqrt(alpha-bar) and sqrt(1 - alpha-bar). */
export interface Mixture {
  readonly alpha: Tensor
  readonly sigma: Tensor
}

/** The two ingredients of a noisy sample. */
export interface Ingredients {
  readonly x0: Tensor
  readonly eps: Tensor
}

/** alpha x_0 + sigma eps */
export const mix = ({ alpha, sigma }: Mixture, { x0, eps }: Ingredients): Tensor =>
  pipe(x0, mul(alpha), add(pipe(eps, mul(sigma))))

type Targets = { readonly [P in Parameterization]: (m: Mixture, from: Ingredients) => Tensor }
const targets: Targets = {
  eps: (_, { eps }) => eps,
  x0: (_, { x0 }) => x0,
  v: ({ alpha, sigma }, { x0, eps }) => pipe(eps, mul(alpha), sub(pipe(x0, mul(sigma)))),
  flow: (_, { x0, eps }) => pipe(eps, sub(x0)),
}

/** What a perfect network would have said. */
export const target = (p: Parameterization, m: Mixture, from: Ingredients): Tensor => targets[p](m, from)

/** alpha^2 + sigma^2: 1 where variance is preserved. */
const squaredNorm = ({ alpha, sigma }: Mixture): Tensor => pipe(square(alpha), add(square(sigma)))

type Recover = (m: Mixture, xt: Tensor, prediction: Tensor) => Tensor
const ofX0: { readonly [P in Parameterization]: Recover } = {
  eps: ({ alpha, sigma }, xt, eps) => pipe(xt, sub(pipe(eps, mul(sigma))), div(alpha)),
  x0: (_, __, x0) => x0,
  v: (m, xt, v) => pipe(xt, mul(m.alpha), sub(pipe(v, mul(m.sigma))), div(squaredNorm(m))),
  flow: ({ alpha, sigma }, xt, u) => pipe(xt, sub(pipe(u, mul(sigma))), div(pipe(alpha, add(sigma)))),
}
const ofEps: { readonly [P in Parameterization]: Recover } = {
  eps: (_, __, eps) => eps,
  x0: ({ alpha, sigma }, xt, x0) => pipe(xt, sub(pipe(x0, mul(alpha))), div(sigma)),
  v: (m, xt, v) => pipe(xt, mul(m.sigma), add(pipe(v, mul(m.alpha))), div(squaredNorm(m))),
  flow: ({ alpha, sigma }, xt, u) => pipe(xt, add(pipe(u, mul(alpha))), div(pipe(alpha, add(sigma)))),
}

/** x_0 and eps that a prediction at x_t implies. */
export const recover = (p: Parameterization, m: Mixture, xt: Tensor, prediction: Tensor): Ingredients => ({
  x0: ofX0[p](m, xt, prediction),
  eps: ofEps[p](m, xt, prediction),
})

/** A prediction said in another parameterization. */
export const convert = (
  from: Parameterization,
  to: Parameterization,
  m: Mixture,
  xt: Tensor,
  prediction: Tensor,
): Tensor => (from === to ? prediction : target(to, m, recover(from, m, xt, prediction)))
