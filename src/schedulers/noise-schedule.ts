import { type Checked, collect, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { alphaBars, betas, type NoiseScheduleConfig, noiseScheduleDefaults, parameterChecks } from './beta-schedules.ts'
import type { Column } from './column.ts'

export { type BetaSchedule, type NoiseScheduleConfig, noiseScheduleDefaults } from './beta-schedules.ts'
export type { Column } from './column.ts'

/** No schedule has more timesteps: its columns are held in memory. */
export const mostTimesteps = 100_000

/**
 * Everything that follows from the variances, in float64. Written with a = alpha, A = alpha-bar, A' = the previous
 * alpha-bar (1 at t = 0).
 */
export interface NoiseSchedule {
  readonly timesteps: number
  readonly betas: Column
  /** a = 1 - beta */
  readonly alphas: Column
  /** A: the share of x_0's power left in x_t */
  readonly alphasCumprod: Column
  readonly alphasCumprodPrev: Column
  readonly sqrtAlphasCumprod: Column
  readonly sqrtOneMinusAlphasCumprod: Column
  readonly logOneMinusAlphasCumprod: Column
  /** sqrt(1 / A) */
  readonly sqrtRecipAlphasCumprod: Column
  /** sqrt(1 / A - 1) */
  readonly sqrtRecipm1AlphasCumprod: Column
  /** (1 - v) beta~ + v beta with beta~ = beta (1 - A') / (1 - A), which is 0 at t = 0 (Ho et al., equation 7) */
  readonly posteriorVariance: Column
  /** Its logarithm, the variance clipped to at least 1e-20 */
  readonly posteriorLogVarianceClipped: Column
  /** Of x_0 in the posterior mean: beta sqrt(A') / (1 - A) */
  readonly posteriorMeanCoef1: Column
  /** Of x_t in the posterior mean: (1 - A') sqrt(a) / (1 - A) */
  readonly posteriorMeanCoef2: Column
  /** A / (1 - A) */
  readonly snr: Column
  readonly logSnr: Column
  readonly vlbWeights: VlbWeights
  readonly referenceVlbWeights: ReferenceVlbWeights
}

/**
 * w_t such that w_t |target - prediction|^2 is the mean's part of KL(q(x_{t-1}|x_t,x_0) || p(x_{t-1}|x_t)), for
 * predictions of the noise, of x_0, of v and of the flow's velocity. With v = 0: (SNR_{t-1} - SNR_t) / 2 for x_0, divided by SNR_t for
 * the noise, multiplied by 1 - A for v and by (sigma / (alpha + sigma))^2 for the velocity. At t = 0 the bound has the decoder's likelihood instead of a KL: 0 there.
 * Of the noise it is infinite at a last timestep without signal, where eps says nothing of x_0.
 */
export interface VlbWeights {
  readonly eps: Column
  readonly x0: Column
  readonly v: Column
  readonly flow: Column
}

/**
 * CompVis' `lvlb_weights`, its float32 arithmetic included: `eps` from buffers already rounded; `x0` with the slip of
 * precedence `2. * 1 - A` for 2 (1 - A), and sqrt(A) for A; element 0 is a copy of element 1.
 */
export interface ReferenceVlbWeights {
  readonly eps: Column
  readonly x0: Column
}

const check = (c: NoiseScheduleConfig): Checked<readonly number[]> => {
  const { timesteps, vPosterior = noiseScheduleDefaults.vPosterior } = c
  return collect([
    Number.isInteger(timesteps) && timesteps >= 2
      ? E.right(timesteps)
      : fail('config', '/timesteps', 'an integer of at least 2', String(timesteps)),
    vPosterior >= 0 && vPosterior <= 1
      ? E.right(vPosterior)
      : fail('config', '/vPosterior', 'a number in [0, 1]', String(vPosterior)),
    ...parameterChecks(c),
  ])
}

/** Each step adds noise; only the last may leave nothing else. */
const rising = (variances: Column): Checked<Column> => {
  const t = variances.findIndex((beta, i) => !(beta > 0 && (beta < 1 || (beta === 1 && i === variances.length - 1))))
  return t < 0
    ? E.right(variances)
    : fail(
        'config',
        '',
        'a schedule in which each timestep adds noise and leaves some of x_0',
        `a variance of ${variances[t]} at timestep ${t}`,
      )
}

/** What one row of the columns is made of. */
interface Step {
  readonly beta: number
  readonly alpha: number
  readonly bar: number
  readonly barPrev: number
  readonly variance: number
}

const referenceEpsWeight = (s: Step): number => {
  const f = Math.fround
  const beta = f(s.beta)
  const denominator = f(f(f(2 * f(s.variance)) * f(s.alpha)) * f(1 - f(s.bar)))
  return f(f(beta * beta) / denominator)
}

const referenceX0Weight = (s: Step): number => {
  const f = Math.fround
  return f(f(0.5 * f(Math.sqrt(f(s.bar)))) / f(2 - f(s.bar)))
}

const firstFromSecond = (xs: Column): Column => [...xs.slice(1, 2), ...xs.slice(1)]
const withoutFirst = (xs: Column): Column => [0, ...xs.slice(1)]

/**
 * The schedule of given variances, each in (0, 1); CompVis' `DDPM.register_schedule`, operation by operation.
 */
export const scheduleOfBetas = (
  variances: Column,
  vPosterior: number = noiseScheduleDefaults.vPosterior,
): NoiseSchedule => {
  const bars = alphaBars(variances)
  const steps = variances.map((beta, i): Step => {
    const bar = bars[i] ?? Number.NaN
    const barPrev = bars[i - 1] ?? 1
    const variance = ((1 - vPosterior) * beta * (1 - barPrev)) / (1 - bar) + vPosterior * beta
    return { beta, alpha: 1 - beta, bar, barPrev, variance }
  })
  const column = (f: (s: Step) => number): Column => steps.map(f)
  const epsWeights = column((s) => s.beta ** 2 / (2 * s.variance * s.alpha * (1 - s.bar)))
  // Where nothing is left of x_0, eps has no finite weight, and errors of x_0, v and the velocity are one.
  const lastWeight = (s: Step): number => (s.beta ** 2 * s.barPrev) / (2 * s.variance)
  const weigh = (f: (s: Step) => number): Column =>
    withoutFirst(steps.map((s, i) => (s.bar === 0 ? lastWeight(s) : (epsWeights[i] ?? 0) * f(s))))
  return {
    timesteps: variances.length,
    betas: variances,
    alphas: column((s) => s.alpha),
    alphasCumprod: bars,
    alphasCumprodPrev: column((s) => s.barPrev),
    sqrtAlphasCumprod: column((s) => Math.sqrt(s.bar)),
    sqrtOneMinusAlphasCumprod: column((s) => Math.sqrt(1 - s.bar)),
    logOneMinusAlphasCumprod: column((s) => Math.log(1 - s.bar)),
    sqrtRecipAlphasCumprod: column((s) => Math.sqrt(1 / s.bar)),
    sqrtRecipm1AlphasCumprod: column((s) => Math.sqrt(1 / s.bar - 1)),
    posteriorVariance: column((s) => s.variance),
    posteriorLogVarianceClipped: column((s) => Math.log(Math.max(s.variance, 1e-20))),
    posteriorMeanCoef1: column((s) => (s.beta * Math.sqrt(s.barPrev)) / (1 - s.bar)),
    posteriorMeanCoef2: column((s) => ((1 - s.barPrev) * Math.sqrt(s.alpha)) / (1 - s.bar)),
    snr: column((s) => s.bar / (1 - s.bar)),
    logSnr: column((s) => Math.log(s.bar) - Math.log(1 - s.bar)),
    vlbWeights: {
      eps: withoutFirst(epsWeights),
      x0: weigh((s) => s.bar / (1 - s.bar)),
      v: weigh((s) => s.bar),
      flow: weigh((s) => s.bar / (Math.sqrt(s.bar) + Math.sqrt(1 - s.bar)) ** 2),
    },
    referenceVlbWeights: {
      eps: firstFromSecond(column(referenceEpsWeight)),
      x0: firstFromSecond(column(referenceX0Weight)),
    },
  }
}

/**
 * All columns of a declared schedule.
 *
 * Errors (`config`, at pointers inside the declaration): a T that is no integer of at least 2, variances outside
 * (0, 1), a mixture outside [0, 1], parameters under which a timestep adds no noise.
 *
 * ```ts
 * noiseSchedule({ kind: 'scaled-linear', timesteps: 1000, betaStart: 0.00085, betaEnd: 0.012 })
 * ```
 */
export const noiseSchedule = (config: NoiseScheduleConfig): Checked<NoiseSchedule> =>
  pipe(
    check(config),
    E.flatMap(() => rising(betas(config))),
    E.map((variances) => scheduleOfBetas(variances, config.vPosterior)),
  )
