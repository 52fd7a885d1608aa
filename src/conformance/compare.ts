import type { Value, Values } from '../execute/executor.ts'
import { sameShape, showShape } from '../graph/types.ts'
import type { StoredArrays } from '../io/stored.ts'
import type { Float32Errors } from './case.ts'

/**
 * How far two arrays are apart:
 * - `exact`: how many elements differ
 * - `scaled`: max|a - b| / max|b|
 * - `absolute`: max|a - b|
 * - `elementwise`: max(|a - b| / |b|)
 * - `rows`: of rows [sum, l2, dot], max(|a - b| / l2)
 * - `bytes`: the share of values that are 1 apart; none may be further
 */
export type Measure = 'exact' | 'scaled' | 'absolute' | 'elementwise' | 'rows' | 'bytes'

/** The limit for the tensors whose names match. */
export interface Tolerance {
  readonly tensor: RegExp
  readonly measure: Measure
  readonly limit: number
  /** Only for cases of this reference class. */
  readonly subject?: RegExp
  /** Of |a - b|, what is forgiven anywhere: steps between numbers, not errors. */
  readonly room?: number
}

export interface Comparison {
  readonly tensor: string
  readonly error: number
  readonly limit: number
  /** What was expected, and what came, where they are furthest apart. */
  readonly detail: string
}
export const passes = ({ error, limit }: Comparison): boolean => error <= limit

type Numbers = readonly number[]
type Distance = (got: Numbers, expected: Numbers, room: number) => readonly number[]

const largest = (xs: Numbers): number => xs.reduce((m, x) => (Number.isFinite(x) ? Math.max(m, Math.abs(x)) : m), 0)

/** NaN and infinities must be met as they are. */
const apart = (a: number, b: number): number =>
  Object.is(a, b) || a === b ? 0 : Number.isFinite(a) && Number.isFinite(b) ? Math.abs(a - b) : Number.POSITIVE_INFINITY

const over = (scale: number, distance: number): number =>
  distance === 0 ? 0 : scale === 0 ? distance : distance / scale

const relativeTo =
  (scaleAt: (expected: Numbers, i: number) => number): Distance =>
  (got, expected, room) =>
    got.map((a, i) => over(scaleAt(expected, i), Math.max(0, apart(a, expected[i] ?? Number.NaN) - room)))

const constantly = (scale: number) => (): number => scale
const scaled: Distance = (got, expected, room) => relativeTo(constantly(largest(expected)))(got, expected, room)

const distances: { readonly [M in Measure]: Distance } = {
  exact: (got, expected) => got.map((a, i) => (apart(a, expected[i] ?? Number.NaN) === 0 ? 0 : 1)),
  scaled,
  absolute: relativeTo(constantly(1)),
  elementwise: relativeTo((expected, i) => Math.abs(expected[i] ?? Number.NaN)),
  rows: relativeTo((expected, i) => expected[i - (i % 3) + 1] ?? Number.NaN),
  bytes: (got, expected) => {
    const differences = got.map((a, i) => apart(a, expected[i] ?? Number.NaN))
    const share = differences.filter((d) => d > 0).length / Math.max(got.length, 1)
    return differences.map((d) => (d > 1 ? Number.POSITIVE_INFINITY : d > 0 ? share : 0))
  },
}

const numbers = (data: Iterable<number | bigint>): Numbers => Array.from(data, Number)

const detailAt = (got: Numbers, expected: Numbers, i: number): string =>
  `at ${i} of ${expected.length}: expected ${expected[i]}, got ${got[i]}`

const compareNumbers = (
  tensor: string,
  distance: Distance,
  { limit, room = 0 }: Pick<Tolerance, 'limit' | 'room'>,
  got: Numbers,
  expected: Numbers,
): Comparison => {
  const errors = distance(got, expected, room)
  const worst = errors.reduce((m, e, i) => (e > (errors[m] ?? 0) ? i : m), 0)
  return { tensor, error: errors[worst] ?? 0, limit, detail: detailAt(got, expected, worst) }
}

const unmet = (tensor: string, detail: string): Comparison => ({
  tensor,
  error: Number.POSITIVE_INFINITY,
  limit: 0,
  detail,
})

/**
 * Gradients that are zero in exact arithmetic hold only rounding noise: one whose largest element is below this share
 * of the model's largest gradient is compared with that instead of with itself.
 */
const negligible = 1e-6
const ofGradient = /^grad(?:sample|sum)?\.((?:in|param)\..+)$/
const sampleOf = (name: string): string => name.replace(/^gradsum\./, 'gradsample.')

const gradientScale = (expected: StoredArrays): number =>
  Math.max(
    0,
    ...Object.entries(expected).flatMap(([name, { data }]) =>
      ofGradient.test(name) && !name.startsWith('gradsum.') ? [largest(numbers(data))] : [],
    ),
  )

/** Of the reference's own error, what is forgiven beside a limit, in the terms of its measure. */
const forgiven: {
  readonly [M in Measure]: (error: Float32Errors[string], rule: Tolerance) => Pick<Tolerance, 'limit' | 'room'>
} = {
  exact: (_, rule) => rule,
  bytes: (_, rule) => rule,
  scaled: ([, scaled], { limit, room = 0 }) => ({ limit: limit + scaled, room }),
  rows: ([, scaled], { limit, room = 0 }) => ({ limit: limit + scaled, room }),
  absolute: ([absolute], { limit, room = 0 }) => ({ limit: limit + absolute, room }),
  elementwise: ([absolute], { limit, room = 0 }) => ({ limit, room: room + absolute }),
}
/** Cases name a tensor as it is called, without `out.`, or all parameters' gradients by one `grad.param.*`. */
const errorOf = (errors: Float32Errors, name: string): Float32Errors[string] =>
  errors[name] ??
  errors[name.replace(/^out\./, '')] ??
  (ofGradient.test(name)
    ? errors[name.replace(ofGradient, (_, leaf: string) => `grad.${leaf.split('.')[0]}.*`)]
    : undefined) ?? [0, 0]

/** No tolerance is finer than what the reference's float32 is off by itself. */
const atLeastItsOwn = (rule: Tolerance, error: Float32Errors[string]) => forgiven[rule.measure](error, rule)

export interface Computed {
  readonly values: Values
  /** Elements of the gradients of which only sums are compared. */
  readonly counts: Readonly<Record<string, number>>
}

/** What is compared with, and by which rules. */
export interface Compared {
  readonly subject: string
  readonly expected: StoredArrays
  readonly tolerances: readonly Tolerance[]
  readonly given?: { readonly float32Errors: Float32Errors }
}
/** Compares every expected tensor; one that was not computed, or without a tolerance, is a failure of its own. */
export const compare = (
  { subject, tolerances, expected, given }: Compared,
  { values, counts }: Computed,
): readonly Comparison[] => {
  const scale = gradientScale(expected)
  const isNoise = (name: string): boolean => {
    const judged = expected[sampleOf(name)]
    return ofGradient.test(name) && judged !== undefined && largest(numbers(judged.data)) <= negligible * scale
  }
  return Object.entries(expected).map(([name, wanted]): Comparison => {
    const got: Value | undefined = values[name]
    const rule = tolerances.find((r) => r.tensor.test(name) && (r.subject?.test(subject) ?? true))
    if (got === undefined) return unmet(name, 'was not computed')
    if (rule === undefined) return unmet(name, 'has no tolerance')
    if (!sameShape(got.shape, wanted.shape))
      return unmet(name, `expected shape ${showShape(wanted.shape)}, got ${showShape(got.shape)}`)
    const [ours, theirs] = [numbers(got.data), numbers(wanted.data)]
    return isNoise(name)
      ? compareNumbers(
          name,
          relativeTo(constantly(scale * Math.sqrt(counts[name] ?? 1))),
          { limit: Math.min(rule.limit, negligible) },
          ours,
          theirs,
        )
      : compareNumbers(
          name,
          distances[rule.measure],
          atLeastItsOwn(rule, errorOf(given?.float32Errors ?? {}, name)),
          ours,
          theirs,
        )
  })
}
