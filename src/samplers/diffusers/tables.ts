import { betaQuantile } from '../../distributions/beta-quantile.ts'
import { roundHalfToEven } from '../../schedulers/timesteps.ts'
import type { SchedulerConfig } from './config.ts'

/**
 * The numbers that diffusers' schedulers keep: variances, sigma / alpha at the timesteps trained on, and which of them are visited. That
 * code computes in float32, and casts to whole numbers what rounding has put just below one; `round` is `Math.fround` for its
 * numbers, and the identity for what they stand for.
 */
export type Round = (x: number) => number

export interface Tables {
  readonly betas: readonly number[]
  readonly alphasCumprod: readonly number[]
  /** sigma / alpha. */
  readonly sigmas: readonly number[]
  readonly round: Round
}

const indices = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i)
/** `numpy.linspace`, the last one exact. */
export const linspace = (start: number, end: number, n: number): readonly number[] =>
  indices(n).map((i) => (n > 1 && i === n - 1 ? end : start + (i * (end - start)) / Math.max(n - 1, 1)))
/** `torch.linspace`, which counts from the nearer end. */
const torchLinspace = (start: number, end: number, n: number, round: Round): readonly number[] => {
  const [from, to] = [round(start), round(end)]
  const step = round((to - from) / (n - 1))
  return indices(n).map((i) => (i < n / 2 ? round(from + round(step * i)) : round(to - round(step * (n - i - 1)))))
}

const betasOf: {
  readonly [K in SchedulerConfig['beta_schedule']]: (c: SchedulerConfig, round: Round) => readonly number[]
} = {
  linear: (c, round) => torchLinspace(c.beta_start, c.beta_end, c.num_train_timesteps, round),
  scaled_linear: (c, round) =>
    torchLinspace(Math.sqrt(c.beta_start), Math.sqrt(c.beta_end), c.num_train_timesteps, round).map((x) =>
      round(x * x),
    ),
  sigmoid: (c, round) =>
    torchLinspace(-6, 6, c.num_train_timesteps, round).map((x) =>
      round(round(round(1 / (1 + Math.exp(-x))) * round(c.beta_end - c.beta_start)) + round(c.beta_start)),
    ),
  squaredcos_cap_v2: ({ num_train_timesteps: n }, round) => {
    const bar = (u: number): number => Math.cos((((u + 0.008) / 1.008) * Math.PI) / 2) ** 2
    return indices(n).map((i) => round(Math.min(1 - bar((i + 1) / n) / bar(i / n), 0.999)))
  },
}

const cumulative = (alphas: readonly number[], round: Round): readonly number[] => {
  let product = 1
  return alphas.map((a) => {
    product *= a
    return round(product)
  })
}

/** Shifts and scales sqrt(alpha-bar) so that the last is 0 and the first stays (Lin et al. 2024, algorithm 1). */
const zeroTerminal = (betas: readonly number[], round: Round): readonly number[] => {
  const roots = cumulative(
    betas.map((b) => round(1 - b)),
    round,
  ).map((a) => round(Math.sqrt(a)))
  const [first = 1, last = 0] = [roots[0], roots.at(-1)]
  const scale = round(first / round(first - last))
  const bars = roots.map((r) => round(round(round(r - last) * scale) ** 2))
  return bars.map((bar, i) => round(1 - (i === 0 ? bar : round(bar / (bars[i - 1] ?? 1)))))
}

/** `tiny`: what alpha-bar is set to where it has become zero, so that sigma / alpha is finite; left at zero where undefined. */
export const tablesOf = (c: SchedulerConfig, round: Round, tiny: number | undefined): Tables => {
  const plain = c.trained_betas?.map(round) ?? betasOf[c.beta_schedule](c, round)
  const betas = c.rescale_betas_zero_snr ? zeroTerminal(plain, round) : plain
  const bars = cumulative(
    betas.map((b) => round(1 - b)),
    round,
  )
  const alphasCumprod = c.rescale_betas_zero_snr && tiny !== undefined ? [...bars.slice(0, -1), tiny] : bars
  return { betas, alphasCumprod, sigmas: alphasCumprod.map((a) => round(Math.sqrt(round(round(1 - a) / a)))), round }
}

export type Spacing = 'linspace' | 'leading' | 'trailing'

/** `numpy.arange(total, 0, -stride)`, rounded, less one. */
const trailing = (total: number, stride: number): readonly number[] =>
  indices(Math.ceil(total / stride)).map((i) => roundHalfToEven(total - i * stride) - 1)

/** Of the schedulers on which a network is asked at every level, falling: fractional under `linspace`. */
export const everyLevel = (spacing: Spacing, n: number, c: SchedulerConfig, round: Round): readonly number[] => {
  const total = c.num_train_timesteps
  return {
    linspace: () =>
      linspace(0, total - 1, n)
        .map(round)
        .toReversed(),
    leading: () =>
      indices(n)
        .map((i) => i * Math.floor(total / n) + c.steps_offset)
        .toReversed(),
    trailing: () => trailing(total, total / n),
  }[spacing]()
}

/** Of the exponential integrators, falling, whole: one more is placed, and the last left out. */
export const allButLast = (spacing: Spacing, n: number, c: SchedulerConfig, last: number): readonly number[] => {
  return {
    linspace: () =>
      linspace(0, last - 1, n + 1)
        .map(roundHalfToEven)
        .toReversed()
        .slice(0, -1),
    leading: () =>
      indices(n + 1)
        .map((i) => i * Math.floor(last / (n + 1)))
        .toReversed()
        .slice(0, -1)
        .map((t) => t + c.steps_offset),
    trailing: () =>
      indices(Math.ceil(last / (c.num_train_timesteps / n))).map(
        (i) => roundHalfToEven(last - (i * c.num_train_timesteps) / n) - 1,
      ),
  }[spacing]()
}

/** Of DDIM, DDPM and PNDM, falling, whole. */
export const wholeTimesteps = (spacing: Spacing, n: number, c: SchedulerConfig): readonly number[] =>
  spacing === 'linspace'
    ? linspace(0, c.num_train_timesteps - 1, n)
        .map(roundHalfToEven)
        .toReversed()
    : everyLevel(spacing, n, c, (x) => x)

/** `numpy.interp` over the indices of a column. */
export const interpolated = (column: readonly number[], at: number): number => {
  const below = Math.min(Math.max(Math.floor(at), 0), column.length - 1)
  const [low = Number.NaN, high = low] = [column[below], column[below + 1]]
  return low + (at - below) * (high - low)
}

/**
 * Where among the logarithms of the sigmas one lies (`_sigma_to_t`). `rounding` is that of sigmas which are arrays of torch; those
 * that come from a grid are numbers of Python.
 */
export const timestepOf = ({ sigmas, round }: Tables, sigma: number, rounding: Round = (x) => x): number => {
  const logs = sigmas.map((s) => round(Math.log(s)))
  const log = rounding(Math.log(rounding(Math.max(sigma, 1e-10))))
  const reached = logs.findLastIndex((l) => log - l >= 0)
  const low = Math.min(Math.max(reached, 0), logs.length - 2)
  const [a = 0, b = 0] = [logs[low], logs[low + 1]]
  const w = Math.min(Math.max(rounding(rounding(a - log) / rounding(a - b)), 0), 1)
  return rounding(1 - w) * low + w * (low + 1)
}

export type Grid = 'karras' | 'exponential' | 'beta' | 'lu'
export const gridOf = (c: SchedulerConfig): Grid | undefined =>
  c.use_karras_sigmas
    ? 'karras'
    : c.use_lu_lambdas
      ? 'lu'
      : c.use_exponential_sigmas
        ? 'exponential'
        : c.use_beta_sigmas
          ? 'beta'
          : undefined

/** Sigmas from the largest to the least. */
export const gridSigmas: { readonly [K in Grid]: (largest: number, least: number, n: number) => readonly number[] } = {
  karras: (largest, least, n) => {
    const rho = 7
    return linspace(0, 1, n).map((u) => (largest ** (1 / rho) + u * (least ** (1 / rho) - largest ** (1 / rho))) ** rho)
  },
  exponential: (largest, least, n) => linspace(Math.log(largest), Math.log(least), n).map(Math.exp),
  lu: (largest, least, n) =>
    linspace(0, 1, n).map((u) => Math.exp(Math.log(largest) + u * (Math.log(least) - Math.log(largest)))),
  beta: (largest, least, n) => linspace(0, 1, n).map((u) => least + betaQuantile(1 - u, 0.6, 0.6) * (largest - least)),
}
