import fc from 'fast-check'
import { add, div, mul, square, sub, type Tensor } from '../declare/index.ts'
import { type Denoiser, denoiser } from '../diffusion/denoiser.ts'
import { mixtureAt, qPosterior, qSample, qStep } from '../diffusion/forward.ts'
import { convert, type Ingredients, parameterizations, target } from '../diffusion/parameterization.ts'
import { priorBpd } from '../diffusion/reverse.ts'
import { E, pipe, TE } from '../prelude.ts'
import { type BetaSchedule, type NoiseSchedule, noiseSchedule, scheduleOfBetas } from '../schedulers/noise-schedule.ts'
import { guidanceLaws } from './guidance.ts'
import { type Law, law, lawOf } from './law.ts'
import { compared, everywhere, gap, real, reals, rows, shortfall, total } from './numbers.ts'

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
const moments = (schedules: fc.Arbitrary<NoiseSchedule>, least = 0, most = Infinity) =>
  schedules.chain((s) =>
    fc.record({ s: fc.constant(s), t: fc.integer({ min: least, max: Math.min(most, s.timesteps - 1) }) }),
  )
const at = (column: readonly number[], t: number): number => column[t] ?? Number.NaN
const place = (s: NoiseSchedule, t: number): string =>
  `at timestep ${t} of ${s.timesteps}, whose beta is ${Number(at(s.betas, t).toPrecision(6))}`

/** Of what each step keeps, the share that is left at each timestep. */
const products = (s: NoiseSchedule): readonly number[] => {
  let bar = 1
  return s.betas.map((beta) => {
    bar *= 1 - beta
    return bar
  })
}
const product = (schedules: fc.Arbitrary<NoiseSchedule>): Law => {
  const farthest = (s: NoiseSchedule): { readonly t: number; readonly by: number } =>
    products(s).reduce(
      (worst, bar, t) => {
        const by = Math.abs(at(s.alphasCumprod, t) / bar - 1)
        return by > worst.by || Number.isNaN(by) ? { t, by } : worst
      },
      { t: 0, by: 0 },
    )
  const first = (s: NoiseSchedule): number =>
    Math.max(
      0,
      products(s).findIndex((bar, t) => !(Math.abs(at(s.alphasCumprod, t) / bar - 1) <= farthest(s).by / 4)),
    )
  return law({
    name: 'alpha-bar is what all steps keep',
    equation: 'abar_t = (1 - beta_0) ... (1 - beta_t)',
    source: 'Ho et al. 2020, equation 4',
    tolerance: { float64: 1e-6, float32: 1e-6 },
    arbitrary: schedules,
    deviation: (s) => TE.right(farthest(s).by),
    tells: (s) =>
      TE.right([
        `first ${place(s, first(s))}`,
        compared('alpha-bar', products(s)[first(s)], s.alphasCumprod[first(s)]),
      ]),
  })
}

/** Single steps of longer chains are as many nodes. */
const mostComposed = 24
const composition = (schedules: fc.Arbitrary<NoiseSchedule>): Law =>
  lawOf({
    name: 'single steps compose to the closed form',
    equation: 'q(x_t | x_{t-1}) ... q(x_1 | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I)',
    source: 'Ho et al. 2020, equations 2 and 4',
    tolerance: { float64: 1e-12, float32: 1e-4 },
    arbitrary: moments(schedules, 0, mostComposed),
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
    tells: ({ chained: [signal, ...noises], ...closed }, { s, t }) => [
      place(s, t),
      compared('share of x_0', signal, closed.signal[0]),
      compared('share of noise', Math.hypot(...noises), closed.noise[0]),
    ],
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
    tells: (s) => {
      const t = s.snr.findIndex(
        (x, i) => i > 0 && !(x < at(s.snr, i - 1) && at(s.alphasCumprod, i) < at(s.alphasCumprod, i - 1)),
      )
      return TE.right([
        place(s, t),
        `alpha-bar expected below ${at(s.alphasCumprod, t - 1)} of the timestep before, came ${at(s.alphasCumprod, t)}`,
        `SNR expected below ${at(s.snr, t - 1)} of the timestep before, came ${at(s.snr, t)}`,
      ])
    },
  })

interface Meeting {
  readonly moment: { readonly s: NoiseSchedule; readonly t: number }
  readonly x0: number
  readonly xt: number
}
const posterior = ({ moment: { s, t }, x0, xt }: Meeting) => {
  const { mean, variance } = qPosterior(s, { x0: rows([x0]), xt: rows([xt]), t: everywhere(t, 1) })
  return { mean, variance }
}
/** The product of two Gaussians. */
const byRule = ({ moment: { s, t }, x0, xt }: Meeting) => {
  const [a, b, before] = [at(s.alphas, t), at(s.betas, t), at(s.alphasCumprod, t - 1)]
  const variance = 1 / (a / b + 1 / (1 - before))
  return { variance, mean: variance * ((Math.sqrt(a) * xt) / b + (Math.sqrt(before) * x0) / (1 - before)) }
}
const bayes = (schedules: fc.Arbitrary<NoiseSchedule>): Law =>
  law({
    name: "the posterior is Bayes' rule",
    equation: 'q(x_{t-1} | x_t, x_0) is proportional to q(x_t | x_{t-1}) q(x_{t-1} | x_0)',
    source: 'Ho et al. 2020, equations 6 and 7',
    tolerance: { float64: 1e-11, float32: 1e-3 },
    arbitrary: fc.record({ moment: moments(schedules, 1), x0: real(-2, 2), xt: real(-2, 2) }),
    deviation: (a, { ask }) => {
      const { mean, variance } = byRule(a)
      return pipe(
        ask(posterior(a)),
        TE.map((r) => Math.max(gap(r.mean, [mean]), gap(r.variance, [variance]))),
      )
    },
    tells: (a, { ask }) =>
      pipe(
        ask(posterior(a)),
        TE.map((r) => [
          `${place(a.moment.s, a.moment.t)}, of x_0 ${a.x0} and x_t ${a.xt}`,
          compared('mean of x_{t-1}', byRule(a).mean, r.mean[0]),
          compared('variance of x_{t-1}', byRule(a).variance, r.variance[0]),
        ]),
      ),
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
    tells: ({ up: [up = 0], middle: [middle = 0], own: [own = 0], mean, shifted }, { moment: { s, t }, x0 }) => [
      `${place(s, t)}, of x_0 ${x0}`,
      compared('mean of x_{t-1}', mean[0], middle),
      compared('variance of x_{t-1}', ((shifted[0] ?? 0) - (mean[0] ?? 0)) ** 2, (up - middle) ** 2 + own),
    ],
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
  product(schedules),
  fading(schedules),
  composition(schedules),
  bayes(schedules),
  marginal(schedules),
  ...conversions(schedules),
  prior(schedules),
]

/** This library's diffusion processes. */
export const diffusionLaws: readonly Law[] = [...forwardLaws(noiseSchedules), ...guidanceLaws]
