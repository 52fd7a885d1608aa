import { betaQuantile } from '../distributions/beta-quantile.ts'
import { type Checked, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import type { Column } from './noise-schedule.ts'
import { dataLevel, type Level, levelAt, levelOfRatio, mostRatio, type Path, ratioOf } from './path.ts'
import { roundHalfToEven, timesteps } from './timesteps.ts'

/**
 * Where along a path a sampler asks the network, and where it ends.
 *
 * Times:
 * - `trailing`: equal strides down from the most noise (diffusers); on whole timesteps, rounded
 * - `leading`: equal strides up from the least noise (diffusers)
 * - `linspace`: evenly from the most noise to the least (diffusers)
 * - `uniform`: every floor(T/S)-th timestep, plus 1, ending at the first (CompVis' `make_ddim_timesteps`); other counts than S
 *   where S does not divide T, and none where they would pass T - 1
 * - `quad`: squares of evenly spaced roots up to sqrt(0.8 T), plus 1 (the same)
 *
 * Grids over sigma / alpha, of flows over sigma, from the most noise to the least:
 * - `karras`: evenly in its seventh root (Karras et al. 2022, equation 5)
 * - `exponential`: evenly in its logarithm
 * - `beta`: quantiles of the beta distribution (Lee et al. 2024)
 * - `log-snr`: evenly in log SNR (Lu et al. 2022); on paths that keep variance the same as `exponential`
 *
 * All but `uniform` and `quad` end at the data, in exactly as many steps as asked for.
 */
export const spacings = [
  'trailing',
  'leading',
  'linspace',
  'uniform',
  'quad',
  'karras',
  'exponential',
  'beta',
  'log-snr',
] as const
/** Where along a path a sampler asks, by name. */
export type Spacing = (typeof spacings)[number]

/** A grid over sigma / alpha, from the largest to the least. */
export type RatioGrid = 'karras' | 'exponential' | 'beta'

const shares = (n: number): Column => Array.from({ length: n }, (_, i) => (n === 1 ? 0 : i / (n - 1)))

/** n ratios of sigma to alpha from the most to the least, of each grid. */
export const gridRatios: {
  readonly [K in RatioGrid]: (most: number, least: number, n: number, rho?: number) => Column
} = {
  karras: (most, least, n, rho = 7) =>
    shares(n).map((u) => (most ** (1 / rho) + u * (least ** (1 / rho) - most ** (1 / rho))) ** rho),
  exponential: (most, least, n, rho = 1) =>
    shares(n).map((u) => Math.exp(Math.log(least) + (1 - u) ** rho * (Math.log(most) - Math.log(least)))),
  beta: (most, least, n) => shares(n).map((u) => least + betaQuantile(1 - u, 0.6, 0.6) * (most - least)),
}

type Place = (path: Path, steps: number) => Checked<readonly Level[]>

/** Times of a path's span, the most noise first; whole where the path counts timesteps. */
const atTimes =
  (times: (path: Path, steps: number) => Column): Place =>
  (path, steps) =>
    E.right([...times(path, steps).map((t) => levelAt(path, path.whole ? roundHalfToEven(t) : t)), dataLevel(path)])

/** The reference's whole timesteps, ending at the first of them. */
const asCompVis =
  (kind: 'uniform' | 'quad'): Place =>
  (path, steps) =>
    path.whole
      ? pipe(
          timesteps({ kind, steps }, path.span[1] + 1),
          E.map((rising) => [...rising.toReversed(), 0].map((t) => levelAt(path, t))),
        )
      : fail(
          'config',
          '/spacing',
          'one for paths without timesteps: "trailing", "linspace", "karras", ...',
          `"${kind}"`,
        )

/** A grid between the ends of a path. */
const onGrid =
  (grid: RatioGrid): Place =>
  (path, steps) => {
    const [least, most] = path.span.map((t) => levelAt(path, t))
    if (least === undefined || most === undefined) return fail('config', '/spacing', 'a path with two ends', 'none')
    if (path.kind === 'flow') {
      const sigmas = gridRatios[grid](most.sigma, least.sigma, steps)
      return E.right([...sigmas.map((sigma) => levelOfRatio(path, sigma / (1 - sigma))), dataLevel(path)])
    }
    const ratios = gridRatios[grid](Math.min(ratioOf(most), mostRatio), ratioOf(least), steps)
    return E.right([...ratios.map((ratio) => levelOfRatio(path, ratio)), dataLevel(path)])
  }

const inLogSnr: Place = (path, steps) => {
  const [least, most] = path.span.map((t) => ratioOf(levelAt(path, t)))
  const ratios = gridRatios.exponential(Math.min(most ?? mostRatio, mostRatio), least ?? 1, steps)
  return E.right([...ratios.map((ratio) => levelOfRatio(path, ratio)), dataLevel(path)])
}

const places: { readonly [K in Spacing]: Place } = {
  trailing: atTimes(({ whole, along }, n) =>
    // Rounded before 1 is taken off, as diffusers does.
    Array.from({ length: n }, (_, i) => (whole ? roundHalfToEven(along(1 - i / n)) - 1 : along(1 - i / n))),
  ),
  leading: (path, n) =>
    path.whole
      ? E.right([
          ...Array.from({ length: n }, (_, i) => levelAt(path, (n - 1 - i) * Math.floor((path.span[1] + 1) / n))),
          dataLevel(path),
        ])
      : places.linspace(path, n),
  linspace: atTimes(({ span: [least, most] }, n) => shares(n).map((u) => most + u * (least - most))),
  uniform: asCompVis('uniform'),
  quad: asCompVis('quad'),
  karras: onGrid('karras'),
  exponential: onGrid('exponential'),
  beta: onGrid('beta'),
  'log-snr': inLogSnr,
}

/**
 * The levels that a sampler walks along, the most noise first; the last is where it ends. Errors (`config`): a count of steps
 * that the path has not, and spacings that it has not.
 *
 * ```ts
 * levelsOf(discretePath(schedule), { kind: 'karras', steps: 25 }) // 26 levels
 * ```
 */
export const levelsOf = (
  path: Path,
  { kind, steps }: { readonly kind: Spacing; readonly steps: number },
): Checked<readonly Level[]> => {
  const most = path.whole ? path.span[1] + 1 : Number.MAX_SAFE_INTEGER
  return Number.isInteger(steps) && steps >= 1 && steps <= most
    ? places[kind](path, steps)
    : fail('config', '/steps', path.whole ? `an integer in [1, ${most}]` : 'an integer of at least 1', String(steps))
}
