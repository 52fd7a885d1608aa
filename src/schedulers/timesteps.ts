import { type Checked, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import type { Column, NoiseSchedule } from './noise-schedule.ts'

/**
 * Which of T timesteps CompVis' samplers visit, by a count of steps S (`make_ddim_timesteps`):
 * - `uniform`: every floor(T/S)-th, plus 1; more than S where S does not divide T
 * - `quad`: squares of evenly spaced roots up to sqrt(0.8 T), plus 1 (dense near the data)
 *
 * What else there is to choose from, `levels.ts` has.
 */
export type CompVisSpacing = 'uniform' | 'quad'

export interface SpacingConfig {
  readonly kind: CompVisSpacing
  readonly steps: number
}

/** As Python and NumPy round. */
export const roundHalfToEven = (x: number): number => {
  const below = Math.floor(x)
  const rest = x - below
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below
}

const indices = (count: number): Column => Array.from({ length: count }, (_, i) => i)

/** `numpy.linspace`: from the start, the last element exact. */
const evenly = (end: number, count: number): Column =>
  indices(count).map((i) => (i > 0 && i === count - 1 ? end : i * (end / Math.max(count - 1, 1))))

const places: Readonly<Record<CompVisSpacing, (steps: number, timesteps: number) => Column>> = {
  uniform: (steps, timesteps) => {
    const stride = Math.floor(timesteps / steps)
    return indices(Math.ceil(timesteps / stride)).map((i) => i * stride + 1)
  },
  quad: (steps, timesteps) => evenly(Math.sqrt(timesteps * 0.8), steps).map((root) => Math.trunc(root * root) + 1),
}

/**
 * The timesteps as the reference computes them, rising; the last ones may lie past T - 1 (see `timesteps`).
 * Errors: `/steps` that is no integer in [1, T].
 */
export const placeTimesteps = (spacing: SpacingConfig, total: number): Checked<Column> =>
  Number.isInteger(spacing.steps) && spacing.steps >= 1 && spacing.steps <= total
    ? E.right(places[spacing.kind](spacing.steps, total))
    : fail('config', '/steps', `an integer in [1, ${total}]`, String(spacing.steps))

const inside =
  (at: string, total: number, made = '') =>
  (visited: Column): Checked<Column> => {
    const outside = visited.find((t) => !Number.isInteger(t) || t < 0 || t >= total)
    return outside === undefined
      ? E.right(visited)
      : fail(
          'config',
          at,
          `timesteps in [0, ${total - 1}]`,
          `timestep ${outside}, of ${visited.length}${made}`,
          'another number of steps, or another spacing',
        )
  }

/**
 * The timesteps a sampler visits, rising, all inside [0, T - 1]. Errors (`config`): a count of steps outside [1, T],
 * and spacings that run past T - 1, as `uniform` does for some S (the reference raises an IndexError).
 *
 * ```ts
 * timesteps({ kind: 'uniform', steps: 10 }, 1000) // 1, 101, ..., 901
 * ```
 */
export const timesteps = (spacing: SpacingConfig, total: number): Checked<Column> =>
  pipe(
    placeTimesteps(spacing, total),
    E.chain(inside('/steps', total, ` that "${spacing.kind}" makes of ${spacing.steps} steps`)),
  )

/** What DDIM needs at each visited timestep, all of one length, in the order of `timesteps`. */
export interface DdimParameters {
  readonly timesteps: Column
  /** alpha-bar at the timestep, rounded to float32 */
  readonly alphas: Column
  /** alpha-bar at the timestep before in the list; alpha-bar of timestep 0, not 1, at the first */
  readonly alphasPrev: Column
  readonly sigmas: Column
}

/**
 * eta sqrt((1 - A') / (1 - A) (1 - A / A')) (Song et al. 2021, equation 16) with the reference's rounding: NumPy defers
 * to torch, whose reciprocal of 1 - A is taken in float32; all else is float64.
 */
export const ddimSigma = (eta: number, bar: number, barPrev: number): number =>
  eta * Math.sqrt((1 - barPrev) * Math.fround(1 / Math.fround(1 - bar)) * (1 - bar / barPrev))

/**
 * CompVis' `make_ddim_sampling_parameters` on visited timesteps (rising). `eta` is 0 for the deterministic DDIM, 1 for
 * the variance of DDPM. Errors (`config`): timesteps outside [0, T - 1], an eta below 0.
 */
export const ddimParameters = (schedule: NoiseSchedule, visited: Column, eta: number): Checked<DdimParameters> =>
  eta >= 0 && Number.isFinite(eta)
    ? pipe(
        inside('/timesteps', schedule.timesteps)(visited),
        E.map((steps) => {
          const barAt = (t: number): number => Math.fround(schedule.alphasCumprod[t] ?? Number.NaN)
          const alphas = steps.map(barAt)
          const alphasPrev = steps.map((_, i) => barAt(steps[i - 1] ?? 0))
          const sigmas = alphas.map((bar, i) => ddimSigma(eta, bar, alphasPrev[i] ?? Number.NaN))
          return { timesteps: steps, alphas, alphasPrev, sigmas }
        }),
      )
    : fail('config', '/eta', 'a number not below 0', String(eta))
