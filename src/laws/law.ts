import fc from 'fast-check'
import { freeze, type Tensor } from '../declare/index.ts'
import { type Effect, showErrors } from '../error.ts'
import type { Executor, Values } from '../execute/executor.ts'
import { E, pipe, RR, type Task, TE } from '../prelude.ts'

/** What an executor computes in. */
export type Precision = 'float64' | 'float32'

/** How hard to look for a counterexample. */
export interface Search {
  /** Random where left out; a verdict tells which it was. */
  readonly seed?: number
  /** Where a counterexample was found before: a verdict's `path`. */
  readonly path?: string
  readonly runs?: number
  /** Chooses the tolerance; default `float64`, which is the reference executor's. */
  readonly precision?: Precision
}

/** What the search found. Feeding `seed` and `path` back finds it again. */
export interface Verdict {
  readonly law: string
  readonly holds: boolean
  readonly runs: number
  /** The largest deviation seen. */
  readonly worst: number
  readonly seed: number
  readonly counterexample?: {
    readonly value: string
    readonly path: string
    readonly reason: string
    /** What a person reads: which step, what was expected, what came; nothing where it could not be computed. */
    readonly lines: readonly string[]
  }
}

/** A law of the field as a value: what it says, who says so, and a search for a counterexample. */
export interface Law {
  readonly name: string
  readonly equation: string
  readonly source: string
  /** The field of an experiment, or its value, that the law speaks of, where it is not of all. */
  readonly about?: string
  /** The largest deviation that rounding explains. */
  readonly tolerance: Readonly<Record<Precision, number>>
  readonly check: (executor: Executor, search?: Search) => Task<Verdict>
}

/** Runs expressions once, of constants and of what is fed: their numbers, by name. */
export type Ask = <K extends string>(
  outputs: Readonly<Record<K, Tensor>>,
  feeds?: Values,
) => Effect<Readonly<Record<K, readonly number[]>>>

const askOn =
  (executor: Executor): Ask =>
  (outputs, feeds = {}) =>
    pipe(
      TE.fromEither(freeze(outputs, { sharing: 'by name' })),
      TE.flatMap((graph) => executor.compile(graph, { mode: 'training' })),
      TE.flatMap((executable) =>
        TE.bracket(
          TE.right(executable),
          (x) => x.run(feeds),
          (x) => TE.fromIO(x.dispose),
        ),
      ),
      TE.map((values) =>
        pipe(
          outputs,
          RR.mapWithIndex((k) => Array.from(values[k]?.data ?? [])),
        ),
      ),
    )

/** What a law may use: answers from expressions, or the executor itself. */
export interface Court {
  readonly ask: Ask
  readonly executor: Executor
}

/** A law before it can be checked: which values it speaks of, and how far one of them is from obeying. */
export interface Statement<A> extends Omit<Law, 'check'> {
  readonly arbitrary: fc.Arbitrary<A>
  /** 0 where the law holds exactly; NaN never passes. */
  readonly deviation: (a: A, court: Court) => Effect<number>
  /** What a person reads of a value that does not obey: which step, what was expected, what came. */
  readonly tells?: (a: A, court: Court) => Effect<readonly string[]>
  /** How many values a search tries unless told otherwise; default 50. */
  readonly runs?: number
}

/** A number, or the beginning of a list of them. */
const most = 4
const number = (x: number): string => `${Number(x.toPrecision(6))}`
const listed = (xs: readonly number[]): string =>
  `${xs.slice(0, most).map(number).join(', ')}${xs.length > most ? `, ... (${xs.length})` : ''}`
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What a case is, in few words: a schedule by its timesteps, lists by how they begin. */
const shortly = (value: unknown): string => {
  if (typeof value === 'number') return number(value)
  if (Array.isArray(value))
    return value.every((x) => typeof x === 'number') ? `[${listed(value)}]` : `[${value.slice(0, most).map(shortly)}]`
  if (!isRecord(value)) return String(value)
  if ('timesteps' in value && 'betas' in value) return `a schedule of ${value.timesteps} timesteps`
  return Object.entries(value)
    .flatMap(([key, inner]) =>
      typeof inner === 'function' ? [] : [isRecord(inner) ? shortly(inner) : `${key} ${shortly(inner)}`],
    )
    .join(', ')
}

/** A smaller counterexample deviates by this share of the first at least: else it would shrink to where rounding begins. */
const kept = 1 / 4

/**
 * ```ts
 * const verdict = await law({ name: 'KL is not negative', ..., arbitrary, deviation }).check(reference)()
 * ```
 */
export const law = <A>({ arbitrary, deviation, tells, runs = 50, ...about }: Statement<A>): Law => ({
  ...about,
  check:
    (executor, { precision = 'float64', runs: asked = runs, seed, path } = {}) =>
    async () => {
      const limit = about.tolerance[precision]
      const [seen, failures]: [number[], number[]] = [[], []]
      const court: Court = { ask: askOn(executor), executor }
      const property = fc.asyncProperty(arbitrary, async (a) => {
        const result = await deviation(a, court)()
        if (E.isLeft(result)) throw new Error(showErrors(result.left))
        seen.push(result.right)
        if (result.right <= limit || result.right < kept * (failures[0] ?? 0)) return
        failures.push(result.right)
        throw new Error(`deviates by ${result.right}, beyond ${limit}`)
      })
      const found = await fc.check(property, {
        numRuns: asked,
        ...(seed === undefined ? {} : { seed }),
        ...(path === undefined ? {} : { path, endOnFailure: true }),
      })
      const [broken] = found.counterexample ?? []
      const told = broken === undefined || tells === undefined ? E.right([]) : await tells(broken, court)()
      const lines = E.isRight(told) && told.right.length > 0 ? told.right : undefined
      const short = [`off by ${number(failures.at(-1) ?? Number.NaN)}, ${limit} allowed`, `of ${shortly(broken)}`]
      const verdict = {
        law: about.name,
        holds: !found.failed,
        runs: found.numRuns,
        worst: seen.reduce((a, b) => (Number.isNaN(b) ? b : Math.max(a, b)), 0),
        seed: found.seed,
      }
      return found.failed
        ? {
            ...verdict,
            counterexample: {
              value: fc.stringify(found.counterexample),
              path: found.counterexamplePath ?? '',
              reason: found.errorInstance instanceof Error ? found.errorInstance.message : String(found.errorInstance),
              lines: lines ?? (failures.length > 0 ? short : []),
            },
          }
        : verdict
    },
})

/** What came of a case, where a law tells no more. */
const numbersOf = (found: Readonly<Record<string, readonly number[]>>, a: unknown): readonly string[] => [
  `of ${shortly(a)}`,
  ...Object.entries(found).map(([name, xs]) => `${name.padEnd(20)} ${listed(xs)}`),
]

/** A law that expressions of a value are all there is to. */
export interface Expressed<A, K extends string> extends Omit<Statement<A>, 'deviation' | 'tells'> {
  readonly outputs: (a: A) => Readonly<Record<K, Tensor>>
  /** What the outputs are fed, where it is anything. */
  readonly feeds?: (a: A) => Values
  /** As that of a statement, of the outputs' numbers. */
  readonly deviation: (found: Readonly<Record<K, readonly number[]>>, a: A) => number
  /** As that of a statement, of the outputs' numbers. */
  readonly tells?: (found: Readonly<Record<K, readonly number[]>>, a: A) => readonly string[]
}

/**
 * ```ts
 * lawOf({ name: 'KL of equals is 0', ..., outputs: (p) => ({ kl: kl(p, p) }), deviation: ({ kl }) => gap(kl, [0]) })
 * ```
 */
export const lawOf = <A, K extends string>({ outputs, feeds, deviation, tells, ...about }: Expressed<A, K>): Law =>
  law({
    ...about,
    tells: (a, { ask }) =>
      pipe(
        ask(outputs(a), feeds?.(a)),
        TE.map((found) => (tells === undefined ? numbersOf(found, a) : tells(found, a))),
      ),
    deviation: (a, { ask }) =>
      pipe(
        ask(outputs(a), feeds?.(a)),
        TE.map((found) => deviation(found, a)),
      ),
  })
