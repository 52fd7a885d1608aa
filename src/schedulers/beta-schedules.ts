import { type Checked, fail } from '../error.ts'
import { E } from '../prelude.ts'
import type { Column } from './column.ts'

/** The rows of noise schedules: parameters, bounds, variances. */

export const noiseScheduleDefaults = {
  betaStart: 1e-4,
  betaEnd: 0.02,
  offset: 0.008,
  start: -3,
  end: 3,
  temperature: 1,
  logSnrMin: -15,
  logSnrMax: 15,
  shift: 1,
  zeroTerminalSnr: false,
  vPosterior: 0,
} as const

/** Parameters of the schedules that run between two variances, both in (0, 1). */
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
  readonly sigmoid: {
    /** Where on the sigmoid it begins; default -3. */
    readonly start?: number | undefined
    /** Where it ends, above the start; default 3. */
    readonly end?: number | undefined
    /** Both are divided by it: tau, above 0; default 1. */
    readonly temperature?: number | undefined
  }
  readonly 'sigmoid-beta': Ends
  readonly 'cosine-log-snr': {
    /** log SNR where all is nearly noise; default -15. */
    readonly logSnrMin?: number | undefined
    /** log SNR where all is nearly data; default 15. */
    readonly logSnrMax?: number | undefined
  }
}

/**
 * How the variance beta_t of a forward step goes with t:
 * - `linear`: linear in beta (Ho et al. 2020, section 4; "sqrt_linear" in CompVis' code)
 * - `scaled-linear`: linear in sqrt(beta) (latent diffusion and Stable Diffusion; CompVis' "linear")
 * - `sqrt`: square root of `linear` (CompVis' "sqrt")
 * - `cosine`: alpha-bar is a squared cosine, beta clipped to 0.999 (Nichol and Dhariwal 2021, equation 17)
 * - `sigmoid`: alpha-bar is a part of a sigmoid, stretched to [0, 1], at least 1e-9 (Jabri et al. 2023; Chen 2023, algorithm 1)
 * - `sigmoid-beta`: beta is a sigmoid from -6 to 6, stretched to the ends (Xu et al. 2022; "sigmoid" in diffusers)
 * - `cosine-log-snr`: alpha is a cosine, cut off at two log SNRs (Hoogeboom et al. 2023, section 3.1)
 */
export type BetaSchedule = keyof ScheduleParameters

/** A declared noise schedule. Plain data: what an experiment's file holds. */
export type NoiseScheduleConfig<K extends BetaSchedule = BetaSchedule> = {
  readonly [P in K]: ScheduleParameters[P] & {
    readonly kind: P
    /** T, at least 2. */
    readonly timesteps: number
    /**
     * sigma / alpha is multiplied by it everywhere, which takes 2 log shift off log SNR: for pictures larger than those that a schedule
     * suits, by the ratio of sides (Hoogeboom et al. 2023, equation 6); default 1.
     */
    readonly shift?: number | undefined
    /** The last timestep is all noise: sqrt(alpha-bar) is moved down and stretched (Lin et al. 2024, algorithm 1); default false. */
    readonly zeroTerminalSnr?: boolean | undefined
    /** v in [0, 1]: the reverse variance is (1 - v) beta~_t + v beta_t; default 0. */
    readonly vPosterior?: number | undefined
  }
}[K]

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

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** Variances of given alpha-bars, the first of which comes after 1. */
const betasOfBars = (bars: Column): Column => bars.map((bar, i) => 1 - bar / (bars[i - 1] ?? 1))

const leastAlphaBar = 1e-9
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
  sigmoid: ({
    timesteps,
    start = noiseScheduleDefaults.start,
    end = noiseScheduleDefaults.end,
    temperature = noiseScheduleDefaults.temperature,
  }) => {
    const at = (u: number): number => sigmoid((start + u * (end - start)) / temperature)
    const [low, high] = [at(0), at(1)]
    return betasOfBars(
      Array.from({ length: timesteps }, (_, i) =>
        Math.max((high - at((i + 1) / timesteps)) / (high - low), leastAlphaBar),
      ),
    )
  },
  'sigmoid-beta': (c) => {
    const [start, end] = ends(c)
    return linspace(-6, 6, c.timesteps).map((x) => sigmoid(x) * (end - start) + start)
  },
  'cosine-log-snr': ({
    timesteps,
    logSnrMin = noiseScheduleDefaults.logSnrMin,
    logSnrMax = noiseScheduleDefaults.logSnrMax,
  }) => {
    const angleOf = (logSnr: number): number => Math.atan(Math.exp(-logSnr / 2))
    const [first, last] = [angleOf(logSnrMax), angleOf(logSnrMin)]
    return betasOfBars(
      Array.from({ length: timesteps }, (_, i) => Math.cos(first + ((i + 1) / timesteps) * (last - first)) ** 2),
    )
  },
}

const cumulativeProduct = (xs: Column): Column => {
  let product = 1
  return xs.map((x) => {
    product *= x
    return product
  })
}
/** alpha-bar of given variances. */
export const alphaBars = (betas: Column): Column => cumulativeProduct(betas.map((beta) => 1 - beta))

const shifted = (betas: Column, shift: number): Column =>
  shift === 1 ? betas : betasOfBars(alphaBars(betas).map((bar) => bar / (bar + shift ** 2 * (1 - bar))))

/** The first root stays, the last becomes 0. */
const withoutLastSignal = (betas: Column): Column => {
  const roots = alphaBars(betas).map(Math.sqrt)
  const [first = 1, last = 0] = [roots[0], roots.at(-1)]
  return betasOfBars(roots.map((root) => ((root - last) * (first / (first - last))) ** 2))
}

/** The variances of a schedule, the last 1 where all is noise in the end. */
export const betas = <K extends BetaSchedule>(c: NoiseScheduleConfig<K>): Column => {
  const moved = shifted(betasOf[c.kind](c), c.shift ?? noiseScheduleDefaults.shift)
  return (c.zeroTerminalSnr ?? noiseScheduleDefaults.zeroTerminalSnr) ? withoutLastSignal(moved) : moved
}

const above = (at: string, value: number, least: number): Checked<number> =>
  value > least && Number.isFinite(value)
    ? E.right(value)
    : fail('config', at, `a number above ${least}`, String(value))

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
  sigmoid: ({
    start = noiseScheduleDefaults.start,
    end = noiseScheduleDefaults.end,
    temperature = noiseScheduleDefaults.temperature,
  }) => [above('/end', end, start), above('/temperature', temperature, 0)],
  'sigmoid-beta': checkEnds,
  'cosine-log-snr': ({ logSnrMin = noiseScheduleDefaults.logSnrMin, logSnrMax = noiseScheduleDefaults.logSnrMax }) => [
    above('/logSnrMax', logSnrMax, logSnrMin),
  ],
}

/** What the parameters of a schedule must be. */
export const parameterChecks = <K extends BetaSchedule>(c: NoiseScheduleConfig<K>): readonly Checked<number>[] => [
  above('/shift', c.shift ?? noiseScheduleDefaults.shift, 0),
  ...checksOf[c.kind](c),
]
