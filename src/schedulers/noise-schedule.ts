import { type Checked, collect, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'

export const noiseScheduleDefaults = { betaStart: 1e-4, betaEnd: 0.02, offset: 0.008, vPosterior: 0 } as const

/** Parameters of the three schedules that run between two variances, both in (0, 1). */
interface Ends {
  /** Default 1e-4. */
  readonly betaStart?: number | undefined
  /** Default 0.02. */
  readonly betaEnd?: number | undefined
}

interface ScheduleParameters {
  readonly linear: Ends
  readonly 'scaled-linear': Ends
  readonly sqrt: Ends
  readonly cosine: {
    /** Nichol and Dhariwal's s, which keeps the first variances from vanishing; default 0.008. */
    readonly offset?: number | undefined
  }
}

/**
 * How the variance beta_t of a forward step goes with t:
 * - `linear`: linear in beta (Ho et al. 2020, section 4; "sqrt_linear" in CompVis' code)
 * - `scaled-linear`: linear in sqrt(beta) (latent diffusion and Stable Diffusion; CompVis' "linear")
 * - `sqrt`: square root of `linear` (CompVis' "sqrt")
 * - `cosine`: alpha-bar is a squared cosine, beta clipped to 0.999 (Nichol and Dhariwal 2021, equation 17)
 */
export type BetaSchedule = keyof ScheduleParameters

/** A declared noise schedule. Plain data: what an experiment's file holds. */
export type NoiseScheduleConfig<K extends BetaSchedule = BetaSchedule> = {
  readonly [P in K]: ScheduleParameters[P] & {
    readonly kind: P
    /** T, at least 2. */
    readonly timesteps: number
    /** v in [0, 1]: the reverse variance is (1 - v) beta~_t + v beta_t; default 0. */
    readonly vPosterior?: number | undefined
  }
}[K]

/** No schedule has more timesteps: its columns are held in memory. */
export const mostTimesteps = 100_000

/** One number a timestep, at index t = 0, ..., T - 1 (the papers' t - 1). */
export type Column = readonly number[]

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

/** `torch.linspace` in float64, which counts from the nearer end. */
const linspace = (start: number, end: number, steps: number): Column => {
  const step = (end - start) / (steps - 1)
  return Array.from({ length: steps }, (_, i) =>
    steps === 1 ? start : i < Math.floor(steps / 2) ? start + step * i : end - step * (steps - i - 1),
  )
}

const ends = ({
  betaStart = noiseScheduleDefaults.betaStart,
  betaEnd = noiseScheduleDefaults.betaEnd,
}: Ends): readonly [number, number] => [betaStart, betaEnd]

const betasOf: { readonly [K in BetaSchedule]: (c: NoiseScheduleConfig<K>) => Column } = {
  linear: (c) => linspace(...ends(c), c.timesteps),
  'scaled-linear': (c) => {
    const [start, end] = ends(c)
    return linspace(Math.sqrt(start), Math.sqrt(end), c.timesteps).map((root) => root * root)
  },
  sqrt: (c) => linspace(...ends(c), c.timesteps).map(Math.sqrt),
  cosine: ({ timesteps, offset = noiseScheduleDefaults.offset }) => {
    const squaredCosine = (i: number) => Math.cos((((i / timesteps + offset) / (1 + offset)) * Math.PI) / 2) ** 2
    const first = squaredCosine(0)
    const alphaBar = Array.from({ length: timesteps + 1 }, (_, i) => squaredCosine(i) / first)
    return alphaBar.slice(1).map((current, i) => Math.min(Math.max(1 - current / (alphaBar[i] ?? current), 0), 0.999))
  },
}

const open = (at: string, value: number): Checked<number> =>
  value > 0 && value < 1 ? E.right(value) : fail('config', at, 'a number in (0, 1)', String(value))

const checkEnds = (c: Ends): readonly Checked<number>[] => {
  const [start, end] = ends(c)
  return [open('/betaStart', start), open('/betaEnd', end)]
}

const checksOf: { readonly [K in BetaSchedule]: (c: NoiseScheduleConfig<K>) => readonly Checked<number>[] } = {
  linear: checkEnds,
  'scaled-linear': checkEnds,
  sqrt: checkEnds,
  cosine: ({ offset = noiseScheduleDefaults.offset }) => [
    offset >= 0 && Number.isFinite(offset)
      ? E.right(offset)
      : fail('config', '/offset', 'a number not below 0', String(offset)),
  ],
}

const check = <K extends BetaSchedule>(c: NoiseScheduleConfig<K>): Checked<readonly number[]> => {
  const { timesteps, vPosterior = noiseScheduleDefaults.vPosterior } = c
  return collect([
    Number.isInteger(timesteps) && timesteps >= 2
      ? E.right(timesteps)
      : fail('config', '/timesteps', 'an integer of at least 2', String(timesteps)),
    vPosterior >= 0 && vPosterior <= 1
      ? E.right(vPosterior)
      : fail('config', '/vPosterior', 'a number in [0, 1]', String(vPosterior)),
    ...checksOf[c.kind](c),
  ])
}

const betas = <K extends BetaSchedule>(c: NoiseScheduleConfig<K>): Column => betasOf[c.kind](c)

const cumulativeProduct = (xs: Column): Column => {
  let product = 1
  return xs.map((x) => {
    product *= x
    return product
  })
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
  const bars = cumulativeProduct(variances.map((beta) => 1 - beta))
  const steps = variances.map((beta, i): Step => {
    const bar = bars[i] ?? Number.NaN
    const barPrev = bars[i - 1] ?? 1
    const variance = ((1 - vPosterior) * beta * (1 - barPrev)) / (1 - bar) + vPosterior * beta
    return { beta, alpha: 1 - beta, bar, barPrev, variance }
  })
  const column = (f: (s: Step) => number): Column => steps.map(f)
  const epsWeights = column((s) => s.beta ** 2 / (2 * s.variance * s.alpha * (1 - s.bar)))
  const weigh = (f: (s: Step) => number): Column => withoutFirst(steps.map((s, i) => (epsWeights[i] ?? 0) * f(s)))
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
      eps: weigh(() => 1),
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
 * (0, 1), a mixture outside [0, 1].
 *
 * ```ts
 * noiseSchedule({ kind: 'scaled-linear', timesteps: 1000, betaStart: 0.00085, betaEnd: 0.012 })
 * ```
 */
export const noiseSchedule = (config: NoiseScheduleConfig): Checked<NoiseSchedule> =>
  pipe(
    check(config),
    E.map(() => scheduleOfBetas(betas(config), config.vPosterior)),
  )
