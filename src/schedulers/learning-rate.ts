import { type Checked, collect, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'

/** What a schedule has where fields are left out. */
export const learningRateDefaults = { floor: 0, warmUp: 0, growth: 1, power: 1 } as const
/** Of torch's `OneCycleLR`: div_factor 25, final_div_factor 1e4. */
export const oneCycleDefaults = {
  rise: 0.3,
  start: 1 / 25,
  floor: 1 / 25e4,
  anneal: 'cosine',
  threePhase: false,
} as const
/** How a one-cycle schedule falls. */
export const anneals = ['cosine', 'linear'] as const

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
  readonly cycles: readonly RateCycle[]
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
  /** Down half a cosine to `floor` times the rate at step `length`: torch's `CosineAnnealingLR`. */
  readonly cosine: { readonly rate: number; readonly length: number; readonly floor?: number | undefined }
  /**
   * Half a cosine again and again, each `growth` times as long as the one before (SGDR, Loshchilov and Hutter 2017): torch's
   * `CosineAnnealingWarmRestarts`, behind a linear rise.
   */
  readonly 'cosine-restarts': {
    readonly rate: number
    /** Steps of the first. */
    readonly period: number
    readonly growth?: number | undefined
    readonly floor?: number | undefined
    readonly warmUp?: number | undefined
  }
  /** floor + (1 - floor) (1 - n / length)^power behind a linear rise: torch's `PolynomialLR`. */
  readonly polynomial: {
    readonly rate: number
    readonly length: number
    readonly power?: number | undefined
    readonly floor?: number | undefined
    readonly warmUp?: number | undefined
  }
  /** From `start` to 1 and down to `floor`, times the rate, its highest (Smith and Topin 2018): torch's `OneCycleLR`. */
  readonly 'one-cycle': {
    readonly rate: number
    readonly length: number
    /** The share of the steps that rise. */
    readonly rise?: number | undefined
    readonly start?: number | undefined
    readonly floor?: number | undefined
    readonly anneal?: (typeof anneals)[number] | undefined
    /** Down to `start` as fast as it rose, and only then to `floor`. */
    readonly threePhase?: boolean | undefined
  }
  /** CompVis' `LambdaWarmUpCosineScheduler` (one cycle) and `LambdaWarmUpCosineScheduler2`. */
  readonly 'cosine-cycles': Cycles
  /** CompVis' `LambdaLinearScheduler`: after warm-up, (floor + (peak - floor) (length - n) / length). */
  readonly 'linear-cycles': Cycles
}

/** A schedule of the learning rate, by name. */
export type RateKind = keyof RateParameters

/** A declared learning-rate schedule. Plain data: what an experiment's file holds. */
export type LearningRate<K extends RateKind = RateKind> = {
  readonly [P in K]: RateParameters[P] & { readonly kind: P }
}[K]

/** The same over a training whose length is known by itself. */
export type RateOver = {
  readonly [P in RateKind]: Omit<RateParameters[P], 'length'> & { readonly kind: P }
}[RateKind]

const rise = ({ warmUp, start, peak }: RateCycle, n: number): number => ((peak - start) / warmUp) * n + start

type Fall = (c: RateCycle, n: number) => number

const cosineFall: Fall = ({ length, warmUp, peak, floor }, n) =>
  floor + 0.5 * (peak - floor) * (1 + Math.cos((length === warmUp ? 0 : (n - warmUp) / (length - warmUp)) * Math.PI))

const linearFall: Fall = ({ length, peak, floor }, n) => floor + ((peak - floor) * (length - n)) / length

const factor = (fall: Fall, [cycle, ...later]: readonly RateCycle[], step: number): number => {
  if (cycle === undefined) return 1
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

/** What many kinds have, each with what it is where left out. */
const filled = (c: {
  readonly floor?: number | undefined
  readonly warmUp?: number | undefined
  readonly growth?: number | undefined
  readonly power?: number | undefined
}) => {
  const { floor, warmUp, growth, power } = learningRateDefaults
  return {
    floor: c.floor ?? floor,
    warmUp: c.warmUp ?? warmUp,
    growth: c.growth ?? growth,
    power: c.power ?? power,
  }
}

/** Half a cosine from 1 to `floor`; `part` in [0, 1] of the way. */
const halfCosine = (part: number, floor: number): number => floor + 0.5 * (1 - floor) * (1 + Math.cos(Math.PI * part))

/** A linear rise within `warmUp` steps, then what follows it. */
const behindRise = (warmUp: number, step: number, then: (n: number) => number): number =>
  step < warmUp ? step / warmUp : then(step - warmUp)

/** The period that step n stands in, and how much of it is over. */
const withinPeriods = (period: number, growth: number, n: number): number => {
  const ended =
    growth === 1
      ? Math.floor(n / period)
      : Math.floor(Math.log1p((n / period) * (growth - 1)) / Math.log(growth) + 1e-12)
  const began = growth === 1 ? ended * period : (period * (growth ** ended - 1)) / (growth - 1)
  return (n - began) / (period * growth ** ended)
}

const towards: { readonly [A in (typeof anneals)[number]]: (from: number, to: number, part: number) => number } = {
  cosine: (from, to, part) => to + 0.5 * (from - to) * (1 + Math.cos(Math.PI * part)),
  linear: (from, to, part) => from + (to - from) * part,
}

type Phase = readonly [end: number, from: number, to: number]
const oneCycleFactor = (c: RateParameters['one-cycle'], step: number): number => {
  const { rise = oneCycleDefaults.rise, start = oneCycleDefaults.start, floor = oneCycleDefaults.floor } = c
  const { anneal = oneCycleDefaults.anneal, threePhase = oneCycleDefaults.threePhase, length } = c
  const peak = rise * length - 1
  const phases: readonly Phase[] = threePhase
    ? [
        [peak, start, 1],
        [2 * peak, 1, start],
        [length - 1, start, floor],
      ]
    : [
        [peak, start, 1],
        [length - 1, 1, floor],
      ]
  const i = Math.max(
    0,
    phases.findIndex(([end]) => Math.min(step, length - 1) <= end),
  )
  const [began] = phases[i - 1] ?? [0]
  const [end, from, to] = phases[i] ?? [1, 1, 1]
  return towards[anneal](from, to, (Math.min(step, length - 1) - began) / (end - began))
}

const rates: { readonly [K in RateKind]: (c: LearningRate<K>, step: number) => number } = {
  constant: ({ rate }) => rate,
  'warm-up': ({ rate, warmUp }, step) => (step < warmUp ? (rate * step) / warmUp : rate),
  'warm-up-cosine': ({ rate, length, ...c }, step) => {
    const { warmUp, floor } = filled(c)
    return rate * factor(cosineFall, [{ length, warmUp, start: 0, peak: 1, floor }], step)
  },
  cosine: ({ rate, length, ...c }, step) => rate * halfCosine(Math.min(step, length) / length, filled(c).floor),
  'cosine-restarts': ({ rate, period, ...c }, step) => {
    const { warmUp, growth, floor } = filled(c)
    return rate * behindRise(warmUp, step, (n) => halfCosine(withinPeriods(period, growth, n), floor))
  },
  polynomial: ({ rate, length, ...c }, step) => {
    const { warmUp, power, floor } = filled(c)
    const left = (n: number): number => 1 - (length === warmUp ? 0 : Math.min(1, n / (length - warmUp)))
    return rate * behindRise(warmUp, step, (n) => floor + (1 - floor) * left(n) ** power)
  },
  'one-cycle': ({ rate, ...c }, step) => rate * oneCycleFactor({ rate, ...c }, step),
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

const lengthRule = (at: string, length: number): Checked<number> =>
  rule(Number.isInteger(length) && length >= 1, `${at}/length`, 'a positive integer', length)
/** A warm-up that leaves `rest` steps of a length at least. */
const warmUpRule = (at: string, warmUp: number, length = Number.POSITIVE_INFINITY, rest = 0): Checked<number> =>
  rule(
    Number.isInteger(warmUp) && warmUp >= 0 && warmUp <= length - rest,
    `${at}/warmUp`,
    length === Number.POSITIVE_INFINITY ? 'an integer not below 0' : `an integer from 0 to ${length - rest}`,
    warmUp,
  )

const factors = (at: string, c: Readonly<Record<string, number>>): readonly Checked<number>[] =>
  Object.entries(c).map(([name, value]) =>
    rule(value >= 0 && Number.isFinite(value), `${at}/${name}`, 'a number not below 0', value),
  )

const checkCycles = ({ rate, cycles }: Cycles): readonly Checked<number>[] => [
  positive('/rate', rate),
  rule(cycles.length >= 1, '/cycles', 'a cycle at least', cycles.length),
  ...cycles.flatMap(({ length, warmUp, start, peak, floor }, i) => [
    lengthRule(`/cycles/${i}`, length),
    warmUpRule(`/cycles/${i}`, warmUp, length, 1),
    ...factors(`/cycles/${i}`, { start, peak, floor }),
  ]),
]

const checks: { readonly [K in RateKind]: (c: LearningRate<K>) => readonly Checked<number>[] } = {
  constant: ({ rate }) => [positive('/rate', rate)],
  'warm-up': ({ rate, warmUp }) => [positive('/rate', rate), warmUpRule('', warmUp)],
  'warm-up-cosine': ({ rate, length, ...c }) => {
    const { warmUp, floor } = filled(c)
    return [positive('/rate', rate), lengthRule('', length), warmUpRule('', warmUp, length), ...factors('', { floor })]
  },
  cosine: ({ rate, length, ...c }) => [
    positive('/rate', rate),
    lengthRule('', length),
    ...factors('', { floor: filled(c).floor }),
  ],
  'cosine-restarts': ({ rate, period, ...c }) => {
    const { warmUp, growth, floor } = filled(c)
    return [
      positive('/rate', rate),
      rule(Number.isInteger(period) && period >= 1, '/period', 'a positive integer', period),
      rule(growth >= 1 && Number.isFinite(growth), '/growth', 'a number not below 1', growth),
      warmUpRule('', warmUp),
      ...factors('', { floor }),
    ]
  },
  polynomial: ({ rate, length, ...c }) => {
    const { warmUp, power, floor } = filled(c)
    return [
      positive('/rate', rate),
      lengthRule('', length),
      warmUpRule('', warmUp, length),
      positive('/power', power),
      ...factors('', { floor }),
    ]
  },
  'one-cycle': ({
    rate,
    length,
    rise = oneCycleDefaults.rise,
    start = oneCycleDefaults.start,
    floor = oneCycleDefaults.floor,
    threePhase = oneCycleDefaults.threePhase,
  }) => [
    positive('/rate', rate),
    lengthRule('', length),
    rule(
      rise * length > 1 && rise <= (threePhase ? 0.5 : 1),
      '/rise',
      `a share above ${1 / length}, which is one step, up to ${threePhase ? '0.5, as the fall takes as long' : '1'}`,
      rise,
    ),
    ...factors('', { start, floor }),
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
