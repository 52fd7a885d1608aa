import { type Level, lambdaOf, type Shares } from '../schedulers/path.ts'
import { type Combination, combine } from './combination.ts'
import { constantly, difference, exponentialStep, type Integrand } from './exponential.ts'
import { number } from './options.ts'
import { hold, predict, type Sampler, sampler } from './sampler.ts'

/** Options of `unipc`. */
export interface UnipcOptions {
  /** 1 to 3; default 2. */
  readonly order?: number
  /** B(h) = h, or e^h - 1 (section 3.3 there); default `bh2`. */
  readonly variant?: 'bh1' | 'bh2'
  readonly integrand?: Integrand
  /** Numbers of the steps after which nothing is corrected. */
  readonly uncorrected?: readonly number[]
  /** Whether the order falls at the last steps; default true. */
  readonly lowerAtEnd?: boolean
}

interface Said {
  readonly at: Shares
  readonly said: Combination
}

/** The solution of a small linear system, by elimination with the largest pivot. */
const solve = (matrix: readonly (readonly number[])[], right: readonly number[]): readonly number[] => {
  const rows = matrix.map((row, i) => [...row, right[i] ?? 0])
  const n = rows.length
  for (let c = 0; c < n; c++) {
    const pivot = rows.reduce(
      (best, row, r) => (r >= c && Math.abs(row[c] ?? 0) > Math.abs(rows[best]?.[c] ?? 0) ? r : best),
      c,
    )
    const [a = [], b = []] = [rows[c], rows[pivot]]
    rows[c] = b
    rows[pivot] = a
    for (let r = 0; r < n; r++) {
      const own = rows[r] ?? []
      const factor = r === c ? 0 : (own[c] ?? 0) / (b[c] ?? 1)
      rows[r] = own.map((v, j) => v - factor * (b[j] ?? 0))
    }
  }
  return rows.map((row, i) => (row[n] ?? 0) / (row[i] ?? 1))
}

/**
 * The polynomial through predictions at `nodes`, in units of the step from the newest, and what its terms weigh (equation 5 there): the
 * factors of the differences from the newest.
 */
const weights = (nodes: readonly number[], hh: number, b: number): readonly number[] => {
  const moments: number[] = []
  let phi = Math.expm1(hh) / hh - 1
  let factorial = 1
  for (let i = 1; i <= nodes.length; i++) {
    moments.push((phi * factorial) / b)
    factorial *= i + 1
    phi = phi / hh - 1 / factorial
  }
  return solve(
    nodes.map((_, i) => nodes.map((r) => r ** i)),
    moments,
  )
}

/** From the newest of the past predictions to a level; corrected where the prediction there is known. */
const unified = (
  [newest, ...older]: readonly Said[],
  x: Combination,
  to: Level,
  there: Combination | undefined,
  { variant = 'bh2', integrand = 'x0' }: UnipcOptions,
): Combination => {
  if (newest === undefined) return x
  const step = exponentialStep(integrand, newest.at, to)
  const h = lambdaOf(to) - lambdaOf(newest.at)
  const hh = integrand === 'x0' ? -h : h
  const b = variant === 'bh1' ? hh : Math.expm1(hh)
  const scale = -(integrand === 'x0' ? to.alpha : to.sigma) * b
  const known = older.map(({ at, said }) => ({ r: (lambdaOf(at) - lambdaOf(newest.at)) / h, said }))
  const all = there === undefined ? known : [...known, { r: 1, said: there }]
  // The reference's shortcuts, which are not what the system gives: 1/2 for a single difference.
  const factors =
    all.length === 0
      ? []
      : all.length === 1
        ? [1 / 2]
        : weights(
            all.map(({ r }) => r),
            hh,
            b,
          )
  return combine(
    [1, constantly(step, x, newest.said)],
    ...all.map(({ r, said }, i) => [scale * (factors[i] ?? 0), difference(said, newest.said, r)] as const),
  )
}

/**
 * UniPC (Zhao et al. 2023, algorithms 5 and 6): a multistep predictor, and a corrector that uses the prediction made for the next step
 * anyway. One call a step.
 *
 * Source: `UniPCMultistepScheduler` in diffusers, `scheduling_unipc_multistep.py`.
 */
export const unipc = (options: UnipcOptions = {}): Sampler => {
  const { order = 2, integrand = 'x0', uncorrected = [], lowerAtEnd = true } = options
  return sampler({
    name: 'unipc',
    order: 2,
    checks: [number('/order', order, { min: 1, max: 3 })],
    *walk({ transitions, start }) {
      let x = start
      let past: readonly Said[] = []
      let last: { readonly x: Combination; readonly order: number } | undefined
      for (const [i, { here, next }] of transitions.entries()) {
        const said = yield* predict(here, x)
        const corrected =
          last === undefined || uncorrected.includes(i - 1)
            ? said.x
            : yield* hold(unified(past.slice(0, last.order), last.x, here, said[integrand], options))
        past = [{ at: here, said: said[integrand] }, ...past].slice(0, order)
        const left = lowerAtEnd ? transitions.length - i : order
        const used = Math.min(order, left, past.length)
        x = unified(past.slice(0, used), corrected, next, undefined, options)
        last = { x: corrected, order: used }
      }
      return x
    },
  })
}
