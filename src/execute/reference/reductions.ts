import type { OpOf } from '../../graph/ops.ts'
import { type Shape, size, strides } from '../../graph/types.ts'
import { type Dense, dim, get, type Kernels, operand, positions, total } from './dense.ts'

/** For each element, where it ends in the result once the axes are reduced. */
const targets = (s: Shape, axes: readonly number[]): Int32Array => {
  const kept = strides(s.map((d, i) => (axes.includes(i) ? 1 : d)))
  return positions(
    s,
    kept.map((step, i) => (axes.includes(i) ? 0 : step)),
  )
}
const reduce = (
  { type, data }: Dense,
  axes: readonly number[],
  result: Shape,
  start: number,
  f: (accumulated: number, x: number) => number,
): Float64Array => {
  const out = new Float64Array(size(result)).fill(start)
  targets(type.shape, axes).forEach((t, i) => {
    out[t] = f(get(out, t), get(data, i))
  })
  return out
}

/** The lines of x along an axis, as positions: line by line, each in order. */
const lines = (s: Shape, axis: number): readonly Int32Array[] => {
  const step = dim(strides(s), axis)
  const starts = positions(
    s.map((d, i) => (i === axis ? 1 : d)),
    strides(s),
  )
  return Array.from(starts, (start) => Int32Array.from({ length: dim(s, axis) }, (_, i) => start + i * step))
}
/** The first index whose element beats all before it. */
const firstBest = (beats: (a: number, b: number) => boolean) =>
  total(({ axis }: { readonly axis: number }, xs: readonly Dense[]) => {
    const { type, data } = operand(xs, 0)
    const best = (line: Int32Array): number =>
      line.reduce((b, at, i) => (beats(get(data, at), get(data, line[b] ?? -1)) ? i : b), 0)
    return Float64Array.from(lines(type.shape, axis), best)
  })

export const reductions: Kernels<OpOf<'reduction'> | 'maxPool'> = {
  sum: total(({ axes }, xs, { dtype, shape }) => {
    const plus = dtype === 'int32' ? (a: number, b: number) => (a + b) | 0 : (a: number, b: number) => a + b
    return reduce(operand(xs, 0), axes, shape, 0, plus)
  }),
  reduceMax: total(({ axes }, xs, { dtype, shape }) =>
    reduce(operand(xs, 0), axes, shape, dtype === 'int32' ? -(2 ** 31) : -Infinity, Math.max),
  ),
  maxPool: total(({ factor }, xs, { shape }) => {
    const { type, data } = operand(xs, 0)
    const [n, c, h, w] = [dim(shape, 0), dim(shape, 1), dim(shape, 2), dim(shape, 3)]
    const windows = { ...type, shape: [n, c, h, dim(factor, 0), w, dim(factor, 1)] }
    return reduce({ type: windows, data }, [3, 5], shape, -Infinity, Math.max)
  }),
  argMax: firstBest((a, b) => a > b),
  argMin: firstBest((a, b) => a < b),
  /** e^(x - max) / sum e^(x - max) */
  softmax: total(({ axis }, xs) => {
    const { type, data } = operand(xs, 0)
    const out = new Float64Array(data.length)
    for (const line of lines(type.shape, axis)) {
      const top = line.reduce((m, at) => Math.max(m, get(data, at)), -Infinity)
      const sum = line.reduce((s, at) => s + Math.exp(get(data, at) - top), 0)
      for (const at of line) out[at] = Math.exp(get(data, at) - top) / sum
    }
    return out
  }),
}
