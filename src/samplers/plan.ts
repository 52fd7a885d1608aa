import { type Checked, collect, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { levelsOf, type Spacing } from '../schedulers/levels.ts'
import { type Level, normOf, type Path } from '../schedulers/path.ts'
import { type Combination, combine, expand, one } from './combination.ts'
import { chain, type LearnedRange, type Prediction, type Sampler, type Transition, walkOf } from './sampler.ts'

/**
 * From a sampler's walk to numbers. The walk is run with names for arrays; each call of the network becomes one planned step, and
 * what later steps still need of earlier ones lies in a memory of as many places as are needed at once, the newest first.
 */

/** What a step has at hand: x as the network saw it, what it said, noise, and the memory. */
export const sources = ['x', 'x0', 'eps', 'noise'] as const
/** What a step's results are summed from: x, what was predicted, noise, the memory. */
export type Source = (typeof sources)[number] | `m${number}`
/** What a step leaves: x for the next, and the memory. */
export type Target = 'x' | `m${number}`

/** A term of a target: a source times a number that is the same at all steps, or that each step has its own of. */
export interface Term {
  readonly target: Target
  readonly source: Source
  readonly factor: number | 'own'
}
/** The name of a term's factor. */
export const coefficientOf = ({ target, source }: Pick<Term, 'target' | 'source'>): string => `${target}.${source}`

/** One step: one call of the network. */
export interface PlannedStep {
  /** Counts the steps of the whole plan; a part of a plan keeps it, and with it each step's noise. */
  readonly index: number
  /** Where the network is asked, on the path. */
  readonly level: Level
  /** Numbers by the names of their leaves, all computed in float64. */
  readonly coefficients: Readonly<Record<string, number>>
  /** Whether the sampler asks for noise after this call. */
  readonly draws: boolean
}

/** A sampler along a path's levels: the factors of every step, reckoned before there are arrays. */
export interface SamplingPlan {
  readonly sampler: Sampler
  readonly steps: readonly PlannedStep[]
  /** How each step's targets are made: what its graph is built of. */
  readonly terms: readonly Term[]
  /** Places of the memory. */
  readonly memory: number
  /** Whether any step lifts x by noise, draws noise, or draws what the network learnt. */
  readonly uses: { readonly lift: boolean; readonly noise: boolean; readonly learned: boolean }
}

interface Call {
  readonly level: Level
  /** x as it is carried to this call, of what came before it. */
  readonly x: Combination
  /** What x is multiplied by, and how much noise is added, before the network sees it. */
  readonly kept: number
  readonly lift: number
  readonly draws: boolean
  readonly learned?: LearnedRange
  /** Kept arrays made after this call, by name. */
  readonly held: Readonly<Record<string, Combination>>
}

/** Runs the walk: the calls it makes, and x at its end. */
const trace = (
  sampler: Sampler,
  path: Path,
  transitions: readonly Transition[],
): { readonly calls: readonly Call[]; readonly end: Combination } => {
  const calls: Call[] = []
  const amend = (change: (c: Call) => Partial<Call>): void => {
    const last = calls.at(-1)
    if (last === undefined) throw new Error(`${sampler.name} asks for noise before it calls the network`)
    calls[calls.length - 1] = { ...last, ...change(last) }
  }
  const walk = walkOf(sampler, path, transitions, one('x:0'))
  const planning = sampler.walk(walk)
  const nothing: Prediction = { x: {}, x0: {}, eps: {} }
  let asked = planning.next(nothing)
  while (asked.done !== true) {
    const request = asked.value
    const k = calls.length
    if (request.kind === 'predict') {
      const { level, lift } = request
      const norm = normOf(path.kind, level)
      const before = lift === undefined ? norm : normOf(path.kind, lift.from)
      calls.push({
        level: { t: level.t, alpha: level.alpha / norm, sigma: level.sigma / norm },
        x: combine([1 / before, request.x]),
        lift: (lift?.by ?? 0) / norm,
        kept: before / norm,
        draws: false,
        held: {},
      })
      asked = planning.next({ x: combine([norm, one(`x:${k}`)]), x0: one(`x0:${k}`), eps: one(`eps:${k}`) })
    } else if (request.kind === 'noise') {
      if (calls.at(-1)?.draws === true) throw new Error(`${sampler.name} asks for noise twice after one call`)
      amend(() => ({ draws: true, ...(request.learned === undefined ? {} : { learned: request.learned }) }))
      asked = planning.next({ ...nothing, x: one(`noise:${k - 1}`) })
    } else {
      const name = `held:${k - 1}:${Object.keys(calls.at(-1)?.held ?? {}).length}`
      amend(({ held }) => ({ held: { ...held, [name]: request.of } }))
      asked = planning.next({ ...nothing, x: one(name) })
    }
  }
  const last = walk.transitions.at(-1)?.next
  return { calls, end: combine([last === undefined ? 1 : 1 / normOf(path.kind, last), asked.value]) }
}

/** The call at which an array came to be. */
const birth = (name: string): number => Number(name.split(':')[1])
const kindOf = (name: string): string => name.split(':')[0] ?? ''

/** What the step of call k makes, of arrays that are there: x for the next call, and what is kept. */
const madeBy = (
  calls: readonly Call[],
  end: Combination,
): readonly { readonly x: Combination; readonly held: Call['held'] }[] =>
  calls.map(({ held }, k) => ({ x: expand(calls[k + 1]?.x ?? end, held), held }))

/** Arrays by age, the newest first; of one age in the order of their names. */
const byAge = (names: Iterable<string>): readonly string[] =>
  [...names].sort((a, b) => birth(b) - birth(a) || (a < b ? -1 : a > b ? 1 : 0))

/** For each call what must be in memory when it is made. */
const memories = (made: ReturnType<typeof madeBy>): readonly (readonly string[])[] => {
  const before: (readonly string[])[] = []
  let needed: ReadonlySet<string> = new Set()
  for (let k = made.length - 1; k >= 0; k--) {
    const { x = {}, held = {} } = made[k] ?? {}
    const kept = Object.entries(held).flatMap(([name, of]) => (needed.has(name) ? [of] : []))
    const used = [x, ...kept].flatMap((of) =>
      Object.entries(of).flatMap(([name, factor]) => (factor === 0 ? [] : [name])),
    )
    needed = new Set([...needed, ...used].filter((name) => birth(name) < k))
    before[k] = byAge(needed)
  }
  return before
}

/** One step's targets over its sources; a place that nothing needs has no row. */
const rowsOf = (
  made: ReturnType<typeof madeBy>,
  before: ReturnType<typeof memories>,
  k: number,
): Readonly<Record<Target, Combination>> => {
  const { x = {}, held = {} } = made[k] ?? {}
  const places = new Map((before[k] ?? []).map((name, i) => [name, `m${i}`] as const))
  const placed = (of: Combination): Combination =>
    Object.fromEntries(
      Object.entries(of).flatMap(([name, factor]) =>
        factor === 0 ? [] : [[birth(name) === k ? kindOf(name) : (places.get(name) ?? name), factor] as const],
      ),
    )
  return {
    x: placed(x),
    ...Object.fromEntries((before[k + 1] ?? []).map((name, i) => [`m${i}`, placed(held[name] ?? one(name))])),
  }
}

const targetsOf = (memory: number): readonly Target[] => [
  'x',
  ...Array.from({ length: memory }, (_, i): Target => `m${i}`),
]

/** A term for each source of each target that any step uses; a number where all steps that have the target agree. */
const termsOf = (rows: readonly Readonly<Record<Target, Combination>>[], memory: number): readonly Term[] => {
  const all: readonly Source[] = [...sources, ...Array.from({ length: memory }, (_, i): Source => `m${i}`)]
  return targetsOf(memory).flatMap((target) =>
    all.flatMap((source): readonly Term[] => {
      const factors = [...new Set(rows.flatMap((row) => (row[target] === undefined ? [] : [row[target][source] ?? 0])))]
      const [factor = 0] = factors
      return factors.length > 1 ? [{ target, source, factor: 'own' }] : factor === 0 ? [] : [{ target, source, factor }]
    }),
  )
}

/** Steps are computed in float32. */
const isFinite32 = (x: number): boolean => Number.isFinite(Math.fround(x))
const finite = ({ sampler, steps, terms }: SamplingPlan): Checked<unknown> => {
  const shared = terms.every(({ factor }) => factor === 'own' || isFinite32(factor))
  const broken = steps.find(
    ({ level, coefficients }) =>
      !shared || ![...Object.values(level), ...Object.values(coefficients)].every(isFinite32),
  )
  return broken === undefined
    ? E.right(undefined)
    : fail(
        'config',
        '/spacing',
        `levels at which each step of ${sampler.name} is finite`,
        `step ${broken.index + 1} at t = ${broken.level.t}, alpha = ${broken.level.alpha}, sigma = ${broken.level.sigma}`,
        'another spacing or another sampler',
      )
}

/**
 * The numbers of each step of a sampler along a path. Errors (`config`): options of the sampler, no step, and steps that would
 * divide by zero, named by their number.
 *
 * ```ts
 * planSampling(euler(), path, chain(levels)) // one step for each level but the last
 * ```
 */
export const planSampling = (sampler: Sampler, path: Path, transitions: readonly Transition[]): Checked<SamplingPlan> =>
  pipe(
    collect<unknown>([
      ...sampler.checks,
      transitions.length === 0 ? fail('config', '/steps', 'at least one step', '0') : E.right(undefined),
    ]),
    E.map(() => numbersOf(sampler, path, transitions)),
    E.chainFirst(finite),
  )

const numbersOf = (sampler: Sampler, path: Path, transitions: readonly Transition[]): SamplingPlan => {
  const { calls, end } = trace(sampler, path, transitions)
  const made = madeBy(calls, end)
  const before = memories(made)
  const memory = Math.max(...before.map((names) => names.length))
  const rows = made.map((_, k) => rowsOf(made, before, k))
  const terms = termsOf(rows, memory)
  const uses = {
    lift: calls.some(({ lift }) => lift !== 0),
    noise: terms.some(({ source }) => source === 'noise'),
    learned: calls.some(({ learned }) => learned !== undefined),
  }
  const steps = calls.map(
    ({ level, kept, lift, learned, draws }, index): PlannedStep => ({
      index,
      level,
      draws,
      coefficients: {
        alpha: level.alpha,
        sigma: level.sigma,
        ...(uses.lift ? { kept, lift } : {}),
        ...(uses.learned ? { least: learned?.least ?? 0, most: learned?.most ?? 0 } : {}),
        ...Object.fromEntries(
          terms.flatMap((term) =>
            term.factor === 'own'
              ? [[coefficientOf(term), rows[index]?.[term.target]?.[term.source] ?? 0] as const]
              : [],
          ),
        ),
      },
    }),
  )
  return { sampler, steps, terms, memory, uses }
}

/**
 * The same along a path's own levels, so many steps of a spacing.
 *
 * ```ts
 * planWalk(dpmpp2m(), discretePath(schedule), { kind: 'trailing', steps: 25 })
 * ```
 */
export const planWalk = (
  sampler: Sampler,
  path: Path,
  spacing: { readonly kind: Spacing; readonly steps: number },
): Checked<SamplingPlan> =>
  pipe(
    levelsOf(path, spacing),
    E.flatMap((levels) => planSampling(sampler, path, chain(levels))),
  )
