import type { OpOf } from '../../graph/ops.ts'
import type { Shape } from '../../graph/types.ts'
import type { Geometry } from '../geometry.ts'
import type { Draft } from './draft.ts'
import { apply, type Expression, float, load } from './expression.ts'
import type { Operand } from './lowering.ts'
import { channelsLast, part, spread, type View } from './view.ts'

/** Products and convolutions in loops of ours: what the library has only as an implementation that is right and not meant to be fast. */
export const inLoops = 'loops, as the library has no fast one'

/** An array under other axes: of each the step that it makes, 0 along those that it has not. */
const along = (v: View, shape: Shape, strides: readonly (number | undefined)[]): View => ({
  ...v,
  shape,
  strides: strides.map((s) => s ?? 0),
})
/** The sum over the last `axes` axes of a product of two arrays of one shape. */
const summed = (draft: Draft, a: View, b: View, axes: number): Expression => {
  const { shape } = a
  const kept = shape.slice(0, shape.length - axes)
  const reduced = shape.flatMap((_, i) => (i < kept.length ? [] : [i]))
  const sums = draft.reduce('sum', apply('mul', load(a), load(b)), shape, reduced, inLoops)
  return draft.reshape(
    load(sums),
    shape.map((d, i) => (i < kept.length ? d : 1)),
    kept,
  )
}

/** y[..., m, n] of a[..., m, k] and b[..., k, n]. */
export const summedProduct = (draft: Draft, a: View, b: View, shape: Shape): Expression => {
  const [leading, [m = 1, n = 1]] = [shape.slice(0, -2), shape.slice(-2)]
  const k = a.shape.at(-1) ?? 1
  const [left, right] = [spread(a, [...leading, m, k]), spread(b, [...leading, k, n])]
  const over = [...leading, m, n, k]
  const [rows, columns] = [left.strides.slice(-2), right.strides.slice(-2)]
  return summed(
    draft,
    along(left, over, [...left.strides.slice(0, -2), rows[0], 0, rows[1]]),
    along(right, over, [...right.strides.slice(0, -2), 0, columns[1], columns[0]]),
    1,
  )
}

/** x with zeros around it, channels last. */
const framed = (draft: Draft, x: View, { h, w, top, left, bottom, right }: Geometry): View => {
  if (top + left + bottom + right === 0) return x
  const [n = 0, c = 0] = x.shape
  const all = draft.fresh([n, c, top + h + bottom, left + w + right], channelsLast)
  draft.write(all, float(0))
  draft.write(part(all, [0, 0, top, left], x.shape), load(x))
  return all
}
type Sum = (draft: Draft, g: Geometry, operands: readonly [Operand, Operand]) => Expression
const laid = (draft: Draft, { value, type }: Operand, order: Shape): View =>
  draft.laid(value, type.shape, order, 'word')

/** Convolutions of any direction, each a sum over what it does not keep; a gradient of x a tap after another. */
export const summedConvolutions: { readonly [W in OpOf<'convolution'>]: Sum } = {
  conv2d: (draft, g, [given, weight]) => {
    const [x, w] = [framed(draft, laid(draft, given, channelsLast), g), laid(draft, weight, channelsLast)]
    const shape = [g.n, g.o, g.oh, g.ow, g.kh, g.kw, g.c]
    const [items, channels, down = 0, right = 0] = x.strides
    const [filters, depth, ...taps] = w.strides
    return summed(
      draft,
      along(x, shape, [items, 0, g.sh * down, g.sw * right, down, right, channels]),
      along(w, shape, [0, filters, 0, 0, ...taps, depth]),
      3,
    )
  },
  convWeightGrad: (draft, g, [given, gradient]) => {
    const [x, dy] = [framed(draft, laid(draft, given, channelsLast), g), laid(draft, gradient, channelsLast)]
    const shape = [g.o, g.c, g.kh, g.kw, g.n, g.oh, g.ow]
    const [items, channels, down = 0, right = 0] = x.strides
    const [own, filters, ...positions] = dy.strides
    return summed(
      draft,
      along(x, shape, [0, channels, down, right, items, g.sh * down, g.sw * right]),
      along(dy, shape, [filters, 0, 0, 0, own, ...positions]),
      3,
    )
  },
  convInputGrad: (draft, g, [gradient, weight]) => {
    const [dy, w] = [laid(draft, gradient, channelsLast), laid(draft, weight, [1, 2, 3, 0])]
    const shape = [g.n, g.c, g.oh, g.ow, g.o]
    const all = draft.fresh([g.n, g.c, g.top + g.h + g.bottom, g.left + g.w + g.right], channelsLast)
    draft.write(all, float(0))
    const [items, filters, ...positions] = dy.strides
    const [own, depth, down = 0, right = 0] = w.strides
    for (let i = 0; i < g.kh; i++)
      for (let j = 0; j < g.kw; j++) {
        const tap = { ...w, offset: w.offset + i * down + j * right }
        const sums = summed(
          draft,
          along(dy, shape, [items, 0, ...positions, filters]),
          along(tap, shape, [0, depth, 0, 0, own]),
          1,
        )
        const [n, c, y = 0, x = 0] = all.strides
        const into = { ...along(all, shape.slice(0, 4), [n, c, g.sh * y, g.sw * x]), offset: i * y + j * x }
        draft.write(into, apply('add', load(into), sums))
      }
    return load(part(all, [0, 0, g.top, g.left], [g.n, g.c, g.h, g.w]))
  },
}
