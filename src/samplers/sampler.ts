import type { Checked } from '../error.ts'
import { type Level, levelAt, levelOfRatio, mostRatio, normOf, type Path } from '../schedulers/path.ts'
import { type Combination, combine } from './combination.ts'

/** What a network says of x at a level, and x as it saw it. */
export interface Prediction {
  readonly x: Combination
  readonly x0: Combination
  readonly eps: Combination
}

/** Standard deviations between which a network that learnt its variance chooses, in the logarithm. */
export interface LearnedRange {
  readonly least: number
  readonly most: number
}

/** Noise that is added to x before the network sees it: from the level where x lies, by so much. */
export interface Lift {
  readonly from: Level
  readonly by: number
}

/** What a sampler asks for while it is planned. */
export type Request =
  | { readonly kind: 'predict'; readonly level: Level; readonly x: Combination; readonly lift?: Lift }
  | { readonly kind: 'noise'; readonly learned?: LearnedRange }
  | { readonly kind: 'hold'; readonly of: Combination }
/** A part of a walk, which asks for predictions and noise and returns what it has made of them. */
export type Planning<A> = Generator<Request, A, Prediction>

/**
 * One call of the network: x = alpha x_0 + sigma eps at the level's shares. Fresh noise may lift x there from another level first
 * (Karras et al. 2022, algorithm 2).
 */
export function* predict(level: Level, x: Combination, lift?: Lift): Planning<Prediction> {
  return yield { kind: 'predict', level, x, ...(lift === undefined ? {} : { lift }) }
}

/**
 * Noise of N(0, I), fresh; one after each call of the network. Of a network that learnt its variance, noise of the standard
 * deviation that it chose in the range.
 */
export function* noise(learned?: LearnedRange): Planning<Combination> {
  return (yield { kind: 'noise', ...(learned === undefined ? {} : { learned }) }).x
}

/** The same array under a name of its own: kept, and not reckoned anew from all that it is made of. */
export function* hold(of: Combination): Planning<Combination> {
  return (yield { kind: 'hold', of }).x
}

/** One step along a path: from the level at which the network is asked to the one at which it leaves x. */
export interface Transition {
  readonly here: Level
  readonly next: Level
}

/** Levels one after the other, of which the last is where the walk ends. */
export const chain = (levels: readonly Level[]): readonly Transition[] =>
  levels.slice(1).flatMap((next, i) => {
    const here = levels[i]
    return here === undefined ? [] : [{ here, next }]
  })

/** What a sampler walks along. */
export interface Walk {
  readonly transitions: readonly Transition[]
  /** x at the first level. */
  readonly start: Combination
  /** The level at which sigma / alpha is `ratio`. */
  readonly between: (ratio: number) => Level
  /** The level at a time. */
  readonly at: (t: number) => Level
  /** dx / dsigma along the line from x_0 to eps, in `straight` coordinates. */
  readonly slope: (p: Prediction) => Combination
}

/**
 * A sampler as a value. `walk` reads as the papers' algorithms do, but reckons with names of arrays: it is run once, before there
 * is any array, and what comes out are the factors of each step (`planSampling`). The graph of a step is the same for all steps.
 */
export interface Sampler {
  readonly name: string
  /**
   * The error at the end goes with the step to this power, where no noise is drawn, from a first step that has nothing to remember; 0
   * where there is no such law.
   */
  readonly order: number
  /**
   * The scale of x: that of the `path`, or the one at which x runs along straight lines as sigma falls, which is where the
   * derivative of Karras et al. 2022 (equation 3) is taken: x / alpha, and of flows x itself; `exploding` is x / alpha of flows too.
   */
  readonly coordinates: 'path' | 'straight' | 'exploding'
  /**
   * Whether a first level without signal is taken as it is; else the walk begins a hair below, at sigma / alpha = 2^12 (as diffusers does),
   * since log(sigma / alpha) must be a number.
   */
  readonly pureNoise: 'taken' | 'nearly'
  /** Whether a known part of the picture is put in before or after a step. */
  readonly imposes: 'before' | 'after'
  /** Where predictions of x_0 are kept in a range: whether eps is what this x_0 implies, or stays what the network said. */
  readonly clippedEps: 'implied' | 'own'
  /** What its options must be. */
  readonly checks: readonly Checked<unknown>[]
  readonly walk: (w: Walk) => Planning<Combination>
}

/** A sampler with what most have: on the path's scale, eps implied by x_0, known parts put in before. */
export const sampler = (
  s: Pick<Sampler, 'name' | 'order' | 'walk'> &
    Partial<Pick<Sampler, 'coordinates' | 'pureNoise' | 'imposes' | 'clippedEps' | 'checks'>>,
): Sampler => ({ coordinates: 'path', pureNoise: 'nearly', imposes: 'before', clippedEps: 'implied', checks: [], ...s })

/** A level at the scale of a sampler's coordinates. */
const scales: { readonly [K in Sampler['coordinates']]: (path: Path, level: Level) => Level } = {
  path: (_, level) => level,
  exploding: (_, { t, alpha, sigma }) => ({ t, alpha: 1, sigma: sigma / alpha }),
  straight: (path, level) => (path.kind === 'flow' ? level : scales.exploding(path, level)),
}

/** A level that has some signal, where a sampler divides by it: flows run along straight lines from pure noise. */
const withSignal = ({ pureNoise, coordinates }: Sampler, path: Path, level: Level): Level =>
  level.alpha > 0 || pureNoise === 'taken' || (coordinates === 'straight' && path.kind === 'flow')
    ? level
    : { ...levelOfRatio(path, mostRatio), t: level.t }

/** The walk of a sampler along a path, in the sampler's coordinates, from x. */
export const walkOf = (sampler: Sampler, path: Path, transitions: readonly Transition[], x: Combination): Walk => {
  const { coordinates } = sampler
  const placed = (level: Level): Level => scales[coordinates](path, withSignal(sampler, path, level))
  const own = transitions.map(({ here, next }) => ({ here: placed(here), next: placed(next) }))
  const [first] = own
  return {
    transitions: own,
    start: first === undefined ? x : combine([normOf(path.kind, first.here), x]),
    between: (ratio) => placed(levelOfRatio(path, ratio)),
    at: (t) => placed(levelAt(path, t)),
    slope: ({ x0, eps }) => (path.kind === 'flow' && coordinates !== 'exploding' ? combine([1, eps], [-1, x0]) : eps),
  }
}
