import fc from 'fast-check'
import { add, constant, exp, mul, neg, reciprocal, scalar, softplus, sub, type Tensor } from '../declare/index.ts'
import { denoiser, guide, guideByClassifier, guideTogether } from '../diffusion/denoiser.ts'
import { convert, type Parameterization, parameterizations } from '../diffusion/parameterization.ts'
import { float, int } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import { type Law, lawOf } from './law.ts'
import { everywhere, gap, real, reals, rows, total } from './numbers.ts'

const kinds = fc.constantFrom(...parameterizations)
const spread = (xs: readonly number[]): number => {
  const center = total(xs) / xs.length
  return Math.sqrt(total(xs.map((x) => (x - center) ** 2)) / xs.length)
}
const guided = fc.record({
  predicts: kinds,
  scale: real(-2, 8),
  c: reals(2, -2, 2),
  u: reals(2, -2, 2),
  x: reals(2, -2, 2),
})
const column = (data: readonly number[]): Tensor => constant(data, float(data.length, 1))
/** A network that multiplies by its conditioning. */
const scaling =
  <P extends Parameterization>(predicts: P) =>
  ({ by }: { readonly by: Tensor }) =>
    denoiser(predicts, (xt) => pipe(xt, mul(by)))

/** Laws of guidance. */
export const guidanceLaws: readonly Law[] = [
  lawOf({
    name: 'guidance 1 is conditional, guidance 0 unconditional',
    equation: 'u + 1 (c - u) = c and u + 0 (c - u) = u',
    source: 'Ho and Salimans 2022, equation 6',
    tolerance: { float64: 1e-14, float32: 1e-6 },
    arbitrary: guided,
    outputs: ({ predicts, c, u, x }) => {
      const of = scaling(predicts)
      const [conditional, unconditional] = [of({ by: column(c) }), of({ by: column(u) })]
      const [xt, t] = [column(x), constant([0], int(x.length))]
      return {
        one: guide(1)(conditional, unconditional)(xt, t),
        zero: guide(0)(conditional, unconditional)(xt, t),
        conditional: conditional(xt, t),
        unconditional: unconditional(xt, t),
      }
    },
    deviation: (r) => Math.max(gap(r.one, r.conditional), gap(r.zero, r.unconditional)),
  }),
  lawOf({
    name: 'guidance in one call is guidance in two',
    equation: 'a network that treats items alone says the same of a doubled batch',
    source: 'CompVis latent-diffusion, ddim.py p_sample_ddim',
    tolerance: { float64: 1e-14, float32: 1e-6 },
    arbitrary: guided,
    outputs: ({ predicts, scale, c, u, x }) => {
      const of = scaling(predicts)
      const given = { conditional: { by: column(c) }, unconditional: { by: column(u) } }
      const [xt, t] = [column(x), constant([0], int(x.length))]
      return {
        one: guideTogether(scale)(of, given)(xt, t),
        two: guide(scale)(of(given.conditional), of(given.unconditional))(xt, t),
      }
    },
    deviation: (r) => gap(r.one, r.two),
  }),
  lawOf({
    name: 'rescaled guidance spreads as the conditional model does',
    equation: 'std(rescaled by 1) = std(c), and rescaled by 0 it is what it was',
    source: 'Lin et al. 2024, equations 15 and 16',
    tolerance: { float64: 1e-12, float32: 1e-4 },
    arbitrary: fc.record({
      scale: real(1, 8),
      c: reals(4, -2, 2).filter((xs) => spread(xs) > 0.1),
      u: reals(4, -2, 2),
    }),
    outputs: ({ scale, c, u }) => {
      const [conditional, other] = [c, u].map((xs) => denoiser('eps', () => rows(xs)))
      const [xt, t] = [rows([0, 0, 0, 0]), everywhere(0, 1)]
      const by = (rescale: number): Tensor =>
        conditional === undefined || other === undefined ? xt : guide(scale, { rescale })(conditional, other)(xt, t)
      return {
        whole: by(1),
        none: by(0),
        c: rows(c),
        plain: rows(c.map((x, i) => (u[i] ?? 0) + scale * (x - (u[i] ?? 0)))),
      }
    },
    // Where guidance leaves no spread, none can be brought back.
    deviation: (r) => Math.max(gap(r.none, r.plain), spread(r.plain) < 0.1 ? 0 : gap([spread(r.whole)], [spread(r.c)])),
  }),
  lawOf({
    name: 'guidance by the exact classifier gives the conditional model',
    equation: 'eps(x_t) - sigma grad log p(y | x_t) = eps(x_t | y)',
    source: 'Bayes; Dhariwal and Nichol 2021, equation 12',
    tolerance: { float64: 1e-9, float32: 1e-3 },
    arbitrary: fc.record({
      predicts: kinds,
      mean: real(0.3, 1.5),
      deviation: real(0.3, 1),
      alpha: real(0.2, 1),
      sigma: real(0.2, 1),
      x: reals(3, -2, 2),
    }),
    outputs: ({ predicts, mean, deviation, alpha, sigma, x }) => {
      const mixture = { alpha: scalar(alpha), sigma: scalar(sigma) }
      const variance = (alpha * deviation) ** 2 + sigma ** 2
      const of = (x0: (xt: Tensor) => Tensor) =>
        denoiser(predicts, (xt) => convert('x0', predicts, mixture, xt, x0(xt)))
      // E[x_0 | x_t, y] of N(mean, deviation^2), and the mean of both classes, +mean and -mean, by what x_t says of them.
      const ofClass =
        (center: number) =>
        (xt: Tensor): Tensor =>
          pipe(xt, mul(alpha * deviation ** 2), add(center * sigma ** 2), mul(1 / variance))
      const logit = (xt: Tensor): Tensor => pipe(xt, mul((2 * alpha * mean) / variance))
      const positive = (xt: Tensor): Tensor => pipe(logit(xt), neg, exp, add(1), reciprocal)
      const either = (xt: Tensor): Tensor =>
        pipe(positive(xt), mul(pipe(ofClass(mean)(xt), sub(ofClass(-mean)(xt)))), add(ofClass(-mean)(xt)))
      const [xt, t] = [column(x), everywhere(0, x.length)]
      const guidedBy = guideByClassifier(1, (noisy) => pipe(logit(noisy), neg, softplus, neg), mixture)
      return { guided: guidedBy(of(either))(xt, t), conditional: of(ofClass(mean))(xt, t) }
    },
    deviation: (r) => gap(r.guided, r.conditional),
  }),
]
