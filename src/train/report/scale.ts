/** How numbers lie along an axis. */

export type Range = readonly [low: number, high: number]

export const extent = (values: readonly number[]): Range =>
  values.reduce<Range>(
    ([low, high], v) => [Math.min(low, v), Math.max(high, v)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  )

/** 1, 2 and 5 times powers of ten; powers alone where the range is wide. */
export const logTicks = ([low, high]: Range): readonly number[] => {
  const from = Math.floor(Math.log10(low))
  const to = Math.ceil(Math.log10(high))
  const powers = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i))
  return (to - from > 3 ? powers : powers.flatMap((p) => [p, 2 * p, 5 * p])).filter((v) => v >= low && v <= high)
}

/** Multiples of 1, 2 or 5 times a power of ten, so many at most. */
export const linearTicks = ([low, high]: Range, most: number): readonly number[] => {
  const least = (high - low) / most
  if (!(least > 0)) return [low]
  const power = 10 ** Math.floor(Math.log10(least))
  const step = ([1, 2, 5].find((m) => m * power >= least) ?? 10) * power
  const [from, to] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)]
  return Array.from({ length: to - from + 1 }, (_, i) => Number(((from + i) * step).toPrecision(12)))
}

/** At most this many points are drawn: more are finer than a pixel. */
const resolution = 800
export const thin = <A>(points: readonly A[]): readonly A[] => {
  const stride = Math.ceil(points.length / resolution)
  return points.filter((_, i) => i % stride === 0 || i === points.length - 1)
}
