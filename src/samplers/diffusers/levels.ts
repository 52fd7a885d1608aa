import type { Level } from '../../schedulers/path.ts'
import { roundHalfToEven } from '../../schedulers/timesteps.ts'
import { chain, type Transition } from '../sampler.ts'
import type { SchedulerConfig } from './config.ts'
import {
  allButLast,
  everyLevel,
  gridOf,
  gridSigmas,
  interpolated,
  linspace,
  type Round,
  type Tables,
  timestepOf,
} from './tables.ts'

/** The steps from the most noise to the end, and sigma / alpha (of flows sigma) at their levels. */
export interface Leveled {
  readonly transitions: readonly Transition[]
  readonly sigmas: readonly number[]
}

const preserving = (t: number, sigma: number): Level => ({
  t,
  alpha: 1 / Math.hypot(1, sigma),
  sigma: sigma / Math.hypot(1, sigma),
})
const onFlow = (t: number, sigma: number): Level => ({ t, alpha: 1 - sigma, sigma })

const leveled = (
  place: (t: number, sigma: number) => Level,
  timesteps: readonly number[],
  sigmas: readonly number[],
  round: Round,
): Leveled => {
  const rounded = sigmas.map(round)
  const levels = rounded.map((sigma, i) => place(timesteps[i] ?? 0, sigma))
  return { sigmas: rounded, transitions: chain(levels).slice(0, timesteps.length) }
}

/** `sigma_last`. */
const finalSigma = (c: SchedulerConfig, { sigmas }: Tables): number =>
  c.final_sigmas_type === 'sigma_min' ? (sigmas[0] ?? 0) : 0

/** Schedulers that keep x as x_0 + sigma eps; `rounds` the timesteps of Karras' grid, as DPM2 does. */
export const sigmaLevels = (c: SchedulerConfig, tables: Tables, n: number, rounds: boolean): Leveled => {
  const { round } = tables
  const spaced = everyLevel(c.timestep_spacing ?? 'linspace', n, c, round)
  const direct =
    c.interpolation_type === 'log_linear'
      ? linspace(Math.log(tables.sigmas.at(-1) ?? 1), Math.log(tables.sigmas[0] ?? 1), n + 1).map(Math.exp)
      : spaced.map((t) => interpolated(tables.sigmas, t))
  const grid = gridOf(c)
  const sigmas =
    grid === undefined ? direct : gridSigmas[grid](c.sigma_max ?? direct[0] ?? 1, c.sigma_min ?? direct.at(-1) ?? 1, n)
  const found = grid === undefined ? spaced : sigmas.map((s) => timestepOf(tables, s))
  const whole = grid === 'karras' && rounds ? found.map(roundHalfToEven) : found
  const timesteps =
    c.timestep_type === 'continuous' && c.prediction_type === 'v_prediction'
      ? sigmas.map((s) => Math.log(s) / 4)
      : whole
  return leveled(preserving, timesteps.map(round), [...sigmas, finalSigma(c, tables)], round)
}

export type Integrator = 'multistep' | 'singlestep' | 'unipc' | 'deis'

/** Where lambda is first above its least: `lambda_min_clipped`. */
const lastTimestep = (c: SchedulerConfig, { sigmas }: Tables): number => {
  const least = c.lambda_min_clipped
  return typeof least === 'number' ? sigmas.filter((s) => -Math.log(s) >= least).length : sigmas.length
}

const numberOr = (x: unknown, fallback: number): number => (typeof x === 'number' ? x : fallback)
const shifted = (shift: number, s: number): number => (shift * s) / (1 + (shift - 1) * s)

/** Sigmas of flows under the exponential integrators: from a hair below 1 down. */
const flowSigmas = (c: SchedulerConfig, n: number, kind: Integrator, mu: unknown): readonly number[] => {
  const least = 1 / c.num_train_timesteps
  if (kind !== 'unipc') {
    const shift = typeof mu === 'number' ? Math.exp(mu) : c.flow_shift
    return linspace(1, least, n + 1)
      .map((alpha) => shifted(shift, 1 - alpha))
      .toReversed()
      .slice(0, -1)
  }
  const plain = linspace(1, least, n + 1).slice(0, -1)
  const moved = c.use_dynamic_shifting
    ? plain.map((s) => timeShift(c, numberOr(mu, 0), s))
    : plain.map((s) => shifted(c.flow_shift, s))
  const stretched = stretch(c, moved)
  const eps = 1e-6
  return stretched.map((s, i) => (i === 0 && Math.abs(s - 1) < eps ? s - eps : s))
}

/** Exponential integrators: whole timesteps, cast down from grids that do not round. */
export const multistepLevels = (
  c: SchedulerConfig,
  tables: Tables,
  n: number,
  kind: Integrator,
  mu?: unknown,
): Leveled => {
  const { round } = tables
  const grid = gridOf(c)
  const clipped = kind === 'multistep' || kind === 'singlestep'
  const last = clipped ? lastTimestep(c, tables) : c.num_train_timesteps
  const repeats = kind === 'deis'
  if (grid !== undefined) {
    const sigmas = gridSigmas[grid](tables.sigmas.at(-1) ?? 1, tables.sigmas[0] ?? 1, n)
    const end = repeats
      ? (sigmas.at(-1) ?? 0)
      : kind === 'unipc' && c.final_sigmas_type === 'sigma_min'
        ? (sigmas.at(-1) ?? 0)
        : finalSigma(c, tables)
    if (c.use_flow_sigmas) {
      const flows = sigmas.map((s) => s / (s + 1))
      return leveled(
        onFlow,
        flows.map((s) => Math.trunc(s * c.num_train_timesteps)),
        [...flows, c.final_sigmas_type === 'sigma_min' ? (flows.at(-1) ?? 0) : 0],
        round,
      )
    }
    const rounding =
      (grid === 'karras' || grid === 'lu') && !(kind === 'multistep' && c.beta_schedule === 'squaredcos_cap_v2')
    const timesteps = sigmas.map((s) => timestepOf(tables, s)).map((t) => Math.trunc(rounding ? roundHalfToEven(t) : t))
    return leveled(preserving, timesteps, [...sigmas, end], round)
  }
  if (c.use_flow_sigmas) {
    const sigmas = flowSigmas(c, n, kind, mu)
    const end =
      repeats || (kind === 'unipc' && c.final_sigmas_type === 'sigma_min')
        ? (sigmas.at(-1) ?? 0)
        : finalSigma(c, tables)
    return leveled(
      onFlow,
      sigmas.map((s) => Math.trunc(s * c.num_train_timesteps)),
      [...sigmas, end],
      round,
    )
  }
  const timesteps = allButLast(kind === 'singlestep' ? 'linspace' : (c.timestep_spacing ?? 'linspace'), n, c, last)
  const sigmas = timesteps.map((t) => interpolated(tables.sigmas, t))
  return leveled(preserving, timesteps, [...sigmas, repeats ? (tables.sigmas[0] ?? 0) : finalSigma(c, tables)], round)
}

const timeShift = (c: SchedulerConfig, mu: number, s: number): number =>
  c.time_shift_type === 'exponential' ? Math.exp(mu) / (Math.exp(mu) + (1 / s - 1)) : mu / (mu + (1 / s - 1))

const stretch = (c: SchedulerConfig, sigmas: readonly number[]): readonly number[] => {
  if (c.shift_terminal === null || c.shift_terminal === 0) return sigmas
  const scale = (1 - (sigmas.at(-1) ?? 0)) / (1 - c.shift_terminal)
  return sigmas.map((s) => 1 - (1 - s) / scale)
}

/** Of the flow schedulers: shifted when they are made, which moves the bounds, and again between these. */
export const flowLevels = (c: SchedulerConfig, n: number, round: Round, mu: unknown): Leveled => {
  const total = c.num_train_timesteps
  const made = (s: number): number => round(c.use_dynamic_shifting ? s : shifted(c.shift, s))
  const [largest, least] = [made(1), made(round(1 / total))]
  const plain = linspace(largest * total, least * total, n).map((t) => t / total)
  const moved = c.use_dynamic_shifting
    ? plain.map((s) => timeShift(c, numberOr(mu, 0), s))
    : plain.map((s) => shifted(c.shift, s))
  const stretched = stretch(c, moved)
  const grid = gridOf(c)
  const sigmas = (grid === undefined ? stretched : gridSigmas[grid](stretched[0] ?? 1, stretched.at(-1) ?? 1, n)).map(
    round,
  )
  return leveled(
    onFlow,
    sigmas.map((s) => round(s * total)),
    [...sigmas, 0],
    round,
  )
}
