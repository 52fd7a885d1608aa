import fc from 'fast-check'
import {
  add,
  constant,
  div,
  exp,
  mul,
  neg,
  reciprocal,
  scalar,
  softplus,
  square,
  sub,
  type Tensor,
} from '../declare/index.ts'
import { type Denoiser, denoiser, guide, guideByClassifier, guideTogether } from '../diffusion/denoiser.ts'
import { mixtureAt, qPosterior, qSample, qStep } from '../diffusion/forward.ts'
import {
  convert,
  type Ingredients,
  type Parameterization,
  parameterizations,
  target,
} from '../diffusion/parameterization.ts'
import { priorBpd } from '../diffusion/reverse.ts'
import { float, int } from '../graph/types.ts'
import { E, pipe, TE } from '../prelude.ts'
import { type BetaSchedule, type NoiseSchedule, noiseSchedule, scheduleOfBetas } from '../schedulers/noise-schedule.ts'
import { type Law, law, lawOf } from './law.ts'
import { everywhere, gap, real, reals, rows, shortfall, total } from './numbers.ts'

/**
 * Schedules of this library; of short chains, whose variances are larger. Not those that end at alpha-bar 1e-9, which multiplies rounding as
 * much.
 */
export const noiseSchedules: fc.Arbitrary<NoiseSchedule> = fc
  .record({
    kind: fc.constantFrom<BetaSchedule[]>(
      'linear',
      'scaled-linear',
      'sqrt',
      'cosine',
      'sigmoid-beta',
      'cosine-log-snr',
    ),
    timesteps: fc.integer({ min: 2, max: 16 }),
    betaStart: real(1e-3, 0.05),
    rise: real(1.1, 5),
    shift: fc.oneof(fc.constant(1), real(0.5, 2)),
  })
  .map(({ betaStart, rise, ...declared }) => {
    const made = noiseSchedule({ ...declared, betaStart, betaEnd: betaStart * rise })
    if (E.isLeft(made)) throw new Error(JSON.stringify(made.left))
    return made.right
  })

/** The same schedule, its last timestep all noise. */
export const silenced = (s: NoiseSchedule): NoiseSchedule => scheduleOfBetas([...s.betas.slice(0, -1), 1])

/** Data of one Gaussian, N(mean, deviation^2): its score, and with it the best denoiser, is known in closed form. */
export interface GaussianData {
  readonly mean: number
  readonly deviation: number
}

/** E[eps | x_t] = sigma (x_t - alpha m) / (alpha^2 s^2 + sigma^2) */
export const bestDenoiser = (s: NoiseSchedule, { mean, deviation }: GaussianData): Denoiser<'eps'> =>
  denoiser('eps', (xt, t) => {
    const { alpha, sigma } = mixtureAt(s, t, xt)
    const variance = pipe(square(alpha), mul(deviation ** 2), add(square(sigma)))
    return pipe(xt, sub(pipe(alpha, mul(mean))), mul(sigma), div(variance))
  })

/** A schedule with one of its timesteps, not below `least`. */
const moments = (schedules: fc.Arbitrary<NoiseSchedule>, least = 0) =>
  schedules.chain((s) => fc.record({ s: fc.constant(s), t: fc.integer({ min: least, max: s.timesteps - 1 }) }))
const at = (column: readonly number[], t: number): number => column[t] ?? Number.NaN

const composition = (schedules: fc.Arbitrary<NoiseSchedule>): Law =>
  lawOf({
    name: 'single steps compose to the closed form',
    equation: 'q(x_t | x_{t-1}) ... q(x_1 | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I)',
    source: 'Ho et al. 2020, equations 2 and 4',
    tolerance: { float64: 1e-12, float32: 1e-4 },
    arbitrary: moments(schedules),
    outputs: ({ s, t }) => {
      const steps = Array.from({ length: t + 1 }, (_, i) => i)
      const items = t + 2
      const unit = (hot: number): Tensor => rows(...Array.from({ length: items }, (_, i) => [i === hot ? 1 : 0]))
      const chained = steps.reduce(
        (previous, i) => qStep(s, { previous, noise: unit(i + 1), t: everywhere(i, items) }),
        unit(0),
      )
      const closed = (x0: number, eps: number): Tensor =>
        qSample(s, { x0: rows([x0]), eps: rows([eps]), t: everywhere(t, 1) })
      return { chained, signal: closed(1, 0), noise: closed(0, 1) }
    },
    deviation: (r) => {
      const [signal = Number.NaN, ...noises] = r.chained
      return Math.max(
        gap([signal], r.signal),
        gap(
          [total(noises.map((x) => x * x))],
          r.noise.map((x) => x * x),
        ),
      )
    },
  })

const fading = (schedules: fc.Arbitrary<NoiseSchedule>): Law =>
  law({
    name: 'the signal fades',
    equation: 'abar_t < abar_{t-1} and SNR_t < SNR_{t-1}',
    source: 'Kingma et al. 2021, section 3.1',
    tolerance: { float64: 0, float32: 0 },
    arbitrary: schedules,
    deviation: (s) => {
      const falls = (xs: readonly number[]): boolean => xs.every((x, i) => i === 0 || x < at(xs, i - 1))
      return TE.right(falls(s.alphasCumprod) && falls(s.snr) ? 0 : 1)
    },
  })

const bayes = (schedules: fc.Arbitrary<NoiseSchedule>): Law =>
  law({
    name: "the posterior is Bayes' rule",
    equation: 'q(x_{t-1} | x_t, x_0) is proportional to q(x_t | x_{t-1}) q(x_{t-1} | x_0)',
    source: 'Ho et al. 2020, equations 6 and 7',
    tolerance: { float64: 1e-11, float32: 1e-3 },
    arbitrary: fc.record({ moment: moments(schedules, 1), x0: real(-2, 2), xt: real(-2, 2) }),
    deviation: ({ moment: { s, t }, x0, xt }, { ask }) => {
      const [a, b, before] = [at(s.alphas, t), at(s.betas, t), at(s.alphasCumprod, t - 1)]
      const variance = 1 / (a / b + 1 / (1 - before))
      const mean = variance * ((Math.sqrt(a) * xt) / b + (Math.sqrt(before) * x0) / (1 - before))
      const q = qPosterior(s, { x0: rows([x0]), xt: rows([xt]), t: everywhere(t, 1) })
      return pipe(
        ask({ mean: q.mean, variance: q.variance }),
        TE.map((r) => Math.max(gap(r.mean, [mean]), gap(r.variance, [variance]))),
      )
    },
  })

const marginal = (schedules: fc.Arbitrary<NoiseSchedule>): Law =>
  lawOf({
    name: 'the posterior integrates to the step before',
    equation: 'E over q(x_t | x_0) of q(x_{t-1} | x_t, x_0) is q(x_{t-1} | x_0)',
    source: 'Song et al. 2021 (DDIM), lemma 1',
    tolerance: { float64: 1e-11, float32: 1e-3 },
    arbitrary: fc.record({ moment: moments(schedules, 1), x0: real(-2, 2) }),
    outputs: ({ moment: { s, t }, x0 }) => {
      const last = (eps: number) => qSample(s, { x0: rows([x0]), eps: rows([eps]), t: everywhere(t, 1) })
      const step = (eps: number) => qPosterior(s, { x0: rows([x0]), xt: last(eps), t: everywhere(t, 1) })
      const before = (eps: number) => qSample(s, { x0: rows([x0]), eps: rows([eps]), t: everywhere(t - 1, 1) })
      return { up: step(1).mean, middle: step(0).mean, own: step(0).variance, mean: before(0), shifted: before(1) }
    },
    deviation: ({ up: [up = Number.NaN], middle: [middle = Number.NaN], own: [own = Number.NaN], mean, shifted }) => {
      const deviation = (shifted[0] ?? Number.NaN) - (mean[0] ?? Number.NaN)
      return Math.max(gap([middle], mean), gap([(up - middle) ** 2 + own], [deviation ** 2]))
    },
  })

const kinds = fc.constantFrom(...parameterizations)
const conversions = (schedules: fc.Arbitrary<NoiseSchedule>): readonly Law[] => {
  const arbitrary = fc.record({
    moment: moments(schedules),
    from: kinds,
    to: kinds,
    x0: reals(3, -2, 2),
    eps: reals(3, -2, 2),
  })
  return [
    lawOf({
      name: 'predictions convert round trip',
      equation: 'convert(b, a) . convert(a, b) is the identity on eps, x_0 and v',
      source: 'Salimans and Ho 2022, appendix D',
      tolerance: { float64: 1e-11, float32: 1e-3 },
      arbitrary,
      outputs: ({ moment: { s, t }, from, to, x0, eps }) => {
        const [xt, prediction] = [rows(x0), rows(eps)]
        const m = mixtureAt(s, everywhere(t, 1), xt)
        return { back: convert(to, from, m, xt, convert(from, to, m, xt, prediction)) }
      },
      deviation: (r, { eps }) => gap(r.back, eps),
    }),
    lawOf({
      name: 'what is predicted perfectly is known perfectly',
      equation: 'convert(a, b) of the target a is the target b, at x_t = alpha x_0 + sigma eps',
      source: 'Salimans and Ho 2022, appendix D',
      tolerance: { float64: 1e-11, float32: 1e-3 },
      arbitrary,
      outputs: ({ moment: { s, t }, from, to, x0, eps }) => {
        const made: Ingredients = { x0: rows(x0), eps: rows(eps) }
        const xt = qSample(s, { ...made, t: everywhere(t, 1) })
        const m = mixtureAt(s, everywhere(t, 1), xt)
        return { got: convert(from, to, m, xt, target(from, m, made)), expected: target(to, m, made) }
      },
      deviation: (r) => gap(r.got, r.expected),
    }),
  ]
}

const prior = (schedules: fc.Arbitrary<NoiseSchedule>): Law =>
  lawOf({
    name: 'the prior costs bits',
    equation: 'KL(q(x_T | x_0) || N(0, I)) >= 0',
    source: 'Ho et al. 2020, equation 5',
    tolerance: { float64: 1e-14, float32: 1e-5 },
    arbitrary: fc.record({ s: schedules, x0: reals(4, -2, 2) }),
    outputs: ({ s, x0 }) => ({ bits: priorBpd(s, rows(x0)) }),
    deviation: (r) => shortfall(r.bits),
  })

/** What every forward process obeys. */
export const forwardLaws = (schedules: fc.Arbitrary<NoiseSchedule>): readonly Law[] => [
  fading(schedules),
  composition(schedules),
  bayes(schedules),
  marginal(schedules),
  ...conversions(schedules),
  prior(schedules),
]

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

/** This library's diffusion processes. */
export const diffusionLaws: readonly Law[] = [...forwardLaws(noiseSchedules), ...guidanceLaws]
