import { type Checked, collect, fail } from '../error.ts'
import { E, pipe, type ReadonlyNonEmptyArray } from '../prelude.ts'

export const learningRateDefaults = { floor: 0 } as const

/** One cycle of a schedule: factors of the base rate over `length` steps. */
export interface RateCycle {
  readonly length: number
  /** Steps of the linear rise from `start` to `peak`; below `length`. */
  readonly warmUp: number
  readonly start: number
  readonly peak: number
  /** Where the fall from `peak` ends. */
  readonly floor: number
}

/** A base rate, and cycles that follow each other; a step on a boundary belongs to the earlier cycle. */
interface Cycles {
  readonly rate: number
  readonly cycles: ReadonlyNonEmptyArray<RateCycle>
}

interface RateParameters {
  readonly constant: { readonly rate: number }
  /** From 0 to `rate` within `warmUp` steps, then constant. */
  readonly 'warm-up': { readonly rate: number; readonly warmUp: number }
  /** From 0 to `rate` within `warmUp` steps, then down half a cosine to `floor` times it at step `length`. */
  readonly 'warm-up-cosine': {
    readonly rate: number
    readonly warmUp: number
    readonly length: number
    /** A factor of `rate`; default 0. */
    readonly floor?: number | undefined
  }
  /** CompVis' `LambdaWarmUpCosineScheduler` (one cycle) and `LambdaWarmUpCosineScheduler2`. */
  readonly 'cosine-cycles': Cycles
  /** CompVis' `LambdaLinearScheduler`: after warm-up, (floor + (peak - floor) (length - n) / length). */
  readonly 'linear-cycles': Cycles
}

export type RateKind = keyof RateParameters

/** A declared learning-rate schedule. Plain data: what an experiment's file holds. */
export type LearningRate<K extends RateKind = RateKind> = {
  readonly [P in K]: RateParameters[P] & { readonly kind: P }
}[K]

const rise = ({ warmUp, start, peak }: RateCycle, n: number): number => ((peak - start) / warmUp) * n + start

type Fall = (c: RateCycle, n: number) => number

const cosineFall: Fall = ({ length, warmUp, peak, floor }, n) =>
  floor + 0.5 * (peak - floor) * (1 + Math.cos(((n - warmUp) / (length - warmUp)) * Math.PI))

const linearFall: Fall = ({ length, peak, floor }, n) => floor + ((peak - floor) * (length - n)) / length

const factor = (fall: Fall, [cycle, ...later]: ReadonlyNonEmptyArray<RateCycle>, step: number): number => {
  let current = cycle
  let n = step
  for (const next of later) {
    if (n <= current.length) break
    n -= current.length
    current = next
  }
  const within = Math.min(n, current.length)
  return within < current.warmUp ? rise(current, within) : fall(current, within)
}

const rates: { readonly [K in RateKind]: (c: LearningRate<K>, step: number) => number } = {
  constant: ({ rate }) => rate,
  'warm-up': ({ rate, warmUp }, step) => (step < warmUp ? (rate * step) / warmUp : rate),
  'warm-up-cosine': ({ rate, warmUp, length, floor = learningRateDefaults.floor }, step) =>
    rate * factor(cosineFall, [{ length, warmUp, start: 0, peak: 1, floor }], step),
  'cosine-cycles': ({ rate, cycles }, step) => rate * factor(cosineFall, cycles, step),
  'linear-cycles': ({ rate, cycles }, step) => rate * factor(linearFall, cycles, step),
}

/**
 * The rate at `step` = 0, 1, ... of a schedule that `checkLearningRate` accepts. Past the last cycle its last value
 * holds (CompVis' schedulers with several cycles raise there).
 *
 * ```ts
 * learningRate({ kind: 'warm-up', rate: 1e-4, warmUp: 1000 }, 500) // 5e-5
 * ```
 */
export const learningRate = <K extends RateKind>(schedule: LearningRate<K>, step: number): number =>
  rates[schedule.kind](schedule, step)

const rule = (ok: boolean, at: string, expected: string, got: number): Checked<number> =>
  ok ? E.right(got) : fail('config', at, expected, String(got))

const positive = (at: string, n: number): Checked<number> =>
  rule(n > 0 && Number.isFinite(n), at, 'a positive number', n)

const steps = (at: string, warmUp: number, length: number): readonly Checked<number>[] => [
  rule(Number.isInteger(length) && length >= 1, `${at}/length`, 'a positive integer', length),
  rule(
    Number.isInteger(warmUp) && warmUp >= 0 && warmUp < length,
    `${at}/warmUp`,
    'an integer from 0 to below the length',
    warmUp,
  ),
]

const factors = (at: string, c: Readonly<Record<string, number>>): readonly Checked<number>[] =>
  Object.entries(c).map(([name, value]) =>
    rule(value >= 0 && Number.isFinite(value), `${at}/${name}`, 'a number not below 0', value),
  )

const checkCycles = ({ rate, cycles }: Cycles): readonly Checked<number>[] => [
  positive('/rate', rate),
  ...cycles.flatMap(({ length, warmUp, start, peak, floor }, i) => [
    ...steps(`/cycles/${i}`, warmUp, length),
    ...factors(`/cycles/${i}`, { start, peak, floor }),
  ]),
]

const checks: { readonly [K in RateKind]: (c: LearningRate<K>) => readonly Checked<number>[] } = {
  constant: ({ rate }) => [positive('/rate', rate)],
  'warm-up': ({ rate, warmUp }) => [
    positive('/rate', rate),
    rule(Number.isInteger(warmUp) && warmUp >= 0, '/warmUp', 'an integer not below 0', warmUp),
  ],
  'warm-up-cosine': ({ rate, warmUp, length, floor = learningRateDefaults.floor }) => [
    positive('/rate', rate),
    ...steps('', warmUp, length),
    ...factors('', { floor }),
  ],
  'cosine-cycles': checkCycles,
  'linear-cycles': checkCycles,
}

/** The schedule itself, or every number in it that makes no sense (`config`, at pointers inside the declaration). */
export const checkLearningRate = <K extends RateKind>(schedule: LearningRate<K>): Checked<LearningRate<K>> =>
  pipe(
    collect(checks[schedule.kind](schedule)),
    E.map(() => schedule),
  )
