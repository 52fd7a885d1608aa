import type { Column, NoiseSchedule } from './noise-schedule.ts'

/** The shares of signal and noise in x_t = alpha x_0 + sigma eps, as numbers. */
export interface Shares {
  readonly alpha: number
  readonly sigma: number
}

/** A place on a path: the time that a network is told, and the shares of signal and noise there. */
export interface Level extends Shares {
  readonly t: number
}

/**
 * How the shares go together along a path:
 * - `preserving`: alpha^2 + sigma^2 = 1 (variance preserving, Song et al. 2021, section 3.4; DDPM)
 * - `exploding`: alpha = 1 (variance exploding; the coordinates of Karras et al. 2022)
 * - `flow`: alpha + sigma = 1 (rectified flow, Liu et al. 2023)
 *
 * All three are the same process seen at other scales of x: sigma / alpha alone decides what is known of x_0.
 */
export type PathKind = 'preserving' | 'exploding' | 'flow'

/** A way from data to noise, at real times. */
export interface Path {
  readonly kind: PathKind
  /** The times of the least and of the most noise that a network has seen. */
  readonly span: readonly [least: number, most: number]
  /** Whether times are whole: timesteps 0 to T - 1. */
  readonly whole: boolean
  /** The time a share of the way from data (0) to noise (1), where strides are equal. */
  readonly along: (share: number) => number
  /** alpha and sigma at a time within the span. */
  readonly at: (t: number) => Shares
  /** The time at which sigma / alpha is `ratio`; the nearest within the span. */
  readonly timeOf: (ratio: number) => number
}

const norms: { readonly [K in PathKind]: (s: Shares) => number } = {
  preserving: ({ alpha, sigma }) => Math.hypot(alpha, sigma),
  exploding: ({ alpha }) => alpha,
  flow: ({ alpha, sigma }) => alpha + sigma,
}
/** What shares are divided by to lie on a path of this kind. */
export const normOf = (kind: PathKind, shares: Shares): number => norms[kind](shares)

const sharesOf: { readonly [K in PathKind]: (ratio: number) => Shares } = {
  preserving: (ratio) =>
    ratio === Number.POSITIVE_INFINITY
      ? { alpha: 0, sigma: 1 }
      : { alpha: 1 / Math.hypot(1, ratio), sigma: ratio / Math.hypot(1, ratio) },
  exploding: (ratio) => ({ alpha: 1, sigma: ratio }),
  flow: (ratio) =>
    ratio === Number.POSITIVE_INFINITY
      ? { alpha: 0, sigma: 1 }
      : { alpha: 1 / (1 + ratio), sigma: ratio / (1 + ratio) },
}

/** The level at a time. */
export const levelAt = (path: Path, t: number): Level => ({ t, ...path.at(t) })
/** The level at which sigma / alpha is `ratio`. */
export const levelOfRatio = (path: Path, ratio: number): Level => ({
  t: path.timeOf(ratio),
  ...sharesOf[path.kind](ratio),
})
/** Where there is no noise left; told as the time of the least. */
export const dataLevel = (path: Path): Level => levelOfRatio(path, 0)

/** sigma / alpha */
export const ratioOf = ({ alpha, sigma }: Shares): number => sigma / alpha
/** alpha^2 / sigma^2 */
export const snrOf = ({ alpha, sigma }: Shares): number => (alpha / sigma) ** 2
/** lambda = log(alpha / sigma), half of the log of SNR (Lu et al. 2022): minus infinity where all is noise. */
export const lambdaOf = ({ alpha, sigma }: Shares): number => Math.log(alpha) - Math.log(sigma)

/** Where in a rising column a value lies, as a real index within it. */
const indexOf = (column: Column, value: number): number => {
  const above = column.findIndex((x) => x > value)
  if (above === 0) return 0
  if (above < 0) return column.length - 1
  const [low = value, high = value] = [column[above - 1], column[above]]
  return Number.isFinite(high) && Number.isFinite(low) ? above - 1 + (value - low) / (high - low) : above - 1
}

/** A column at a real index: between two entries on the line through both. */
const valueAt = (column: Column, index: number): number => {
  const below = Math.floor(index)
  const [low = Number.NaN, high = low] = [column[below], column[below + 1]]
  return index === below ? low : low + (index - below) * (high - low)
}

/**
 * A path through given log(sigma / alpha) at the times 0, 1, ..., rising; linear between two of them, as k-diffusion's
 * `DiscreteSchedule` is.
 */
export const discretePathOf = (logRatios: Column): Path => ({
  kind: 'preserving',
  span: [0, logRatios.length - 1],
  whole: true,
  along: (share) => share * logRatios.length,
  at: (t) => sharesOf.preserving(Math.exp(valueAt(logRatios, t))),
  timeOf: (ratio) => indexOf(logRatios, Math.log(ratio)),
})

/** sigma / alpha that stands for that of nothing but noise where a number is needed: as of alpha^2 = 2^-24 (diffusers). */
export const mostRatio = 2 ** 12

/** Logarithms of sigma / alpha; a last timestep without signal lies at `mostRatio`, or at the one before where that is farther. */
const logRatiosOf = ({ logSnr }: NoiseSchedule): Column => {
  const logs = logSnr.map((x) => -x / 2)
  const [last, before = 0] = [logs.at(-1), logs.at(-2)]
  return last === Number.POSITIVE_INFINITY ? [...logs.slice(0, -1), Math.max(before, Math.log(mostRatio))] : logs
}

/** The path under a schedule of T timesteps, from 0 to T - 1. */
export const discretePath = (schedule: NoiseSchedule): Path => {
  const { sqrtAlphasCumprod, sqrtOneMinusAlphasCumprod } = schedule
  const between = discretePathOf(logRatiosOf(schedule))
  return {
    ...between,
    at: (t) =>
      Number.isInteger(t)
        ? { alpha: sqrtAlphasCumprod[t] ?? Number.NaN, sigma: sqrtOneMinusAlphasCumprod[t] ?? Number.NaN }
        : between.at(t),
  }
}

/**
 * Rectified flow (Liu et al. 2023; Esser et al. 2024): x_t = (1 - s) x_0 + s eps, where the network is told t = T s. `shift`
 * multiplies sigma / alpha everywhere, for pictures larger than those that the plain path suits.
 */
export const flowPath = ({
  timesteps = 1000,
  shift = 1,
}: {
  readonly timesteps?: number | undefined
  readonly shift?: number | undefined
} = {}): Path => {
  const shifted = (u: number): number => (shift * u) / (1 + (shift - 1) * u)
  return {
    kind: 'flow',
    span: [timesteps * shifted(1 / timesteps), timesteps],
    whole: false,
    along: (share) => timesteps * shifted(share),
    at: (t) => ({ alpha: 1 - t / timesteps, sigma: t / timesteps }),
    timeOf: (ratio) => timesteps * sharesOf.flow(ratio).sigma,
  }
}

/** x_t = x_0 + sigma eps, where the network is told sigma (Karras et al. 2022). */
export const explodingPath = (least: number, most: number): Path => ({
  kind: 'exploding',
  span: [least, most],
  whole: false,
  along: (share) => least * (most / least) ** share,
  at: (sigma) => ({ alpha: 1, sigma }),
  timeOf: (ratio) => ratio,
})
