/**
 * A sum of arrays with factors, before there are any arrays: `{ 'x0:3': 0.5, 'noise:3': 0.1 }` is half of the third predicted x_0
 * and a tenth of the noise drawn there. Samplers reckon with these; the factors are float64.
 */
export type Combination = Readonly<Record<string, number>>

/** An array by itself. */
export const one = (name: string): Combination => ({ [name]: 1 })

/** The sum of combinations, each with a factor. */
export const combine = (...terms: readonly (readonly [factor: number, of: Combination])[]): Combination => {
  const sum: Record<string, number> = {}
  for (const [factor, of] of terms)
    for (const [name, x] of Object.entries(of)) sum[name] = (sum[name] ?? 0) + factor * x
  return sum
}

/** Arrays that are sums themselves, written out. */
export const expand = (of: Combination, sums: Readonly<Record<string, Combination>>): Combination =>
  combine(...Object.entries(of).map(([name, x]) => [x, sums[name] ?? one(name)] as const))
