import fc from 'fast-check'
import { constant, type Tensor } from '../declare/index.ts'
import { floats, type Values } from '../execute/executor.ts'
import { float, int } from '../graph/types.ts'

const resolution = 4096
/**
 * Evenly spread numbers, multiples of 1/4096: `fc.double` draws exponents evenly, and so mostly numbers that no sum would notice.
 */
export const real = (min: number, max: number): fc.Arbitrary<number> =>
  fc.integer({ min: Math.ceil(min * resolution), max: Math.floor(max * resolution) }).map((i) => i / resolution)
export const reals = (length: number, min: number, max: number): fc.Arbitrary<readonly number[]> =>
  fc.array(real(min, max), { minLength: length, maxLength: length })

/** float32[N, D] from N rows of D numbers. */
export const rows = (...data: readonly (readonly number[])[]): Tensor =>
  constant(data.flat(), float(data.length, data[0]?.length ?? 0))
/** The same timestep for every item, int32[N]. */
export const everywhere = (t: number, count: number): Tensor => constant([t], int(count))

/** The largest distance of two lists, relative to the second's size where that is above 1. */
export const gap = (a: readonly number[], b: readonly number[]): number => {
  if (a.length !== b.length) return Number.NaN
  const scale = b.reduce((m, x) => Math.max(m, Math.abs(x)), 1)
  return a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - (b[i] ?? Number.NaN))), 0) / scale
}
/** What was expected and what came, in a line. */
export const compared = (what: string, expected: number | undefined, came: number | undefined): string => {
  const shown = (x: number | undefined): string =>
    String(x === undefined ? 'nothing' : Number(x.toPrecision(8))).padEnd(14)
  return `${what.padEnd(20)} expected ${shown(expected)} came ${shown(came)}`.trimEnd()
}
/** The largest distance from 0. */
export const largest = (xs: readonly number[]): number => xs.reduce((worst, x) => Math.max(worst, Math.abs(x)), 0)
/** How far numbers lie below a bound. */
export const shortfall = (xs: readonly number[], bound = 0): number =>
  xs.reduce((worst, x) => Math.max(worst, bound - x), 0)
export const total = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0)

/** Numbers for leaves that are all of one shape. */
export const fed = (feeds: Readonly<Record<string, readonly number[]>>, shape: readonly number[]): Values =>
  Object.fromEntries(Object.entries(feeds).map(([name, data]) => [name, floats(shape, Float64Array.from(data))]))
