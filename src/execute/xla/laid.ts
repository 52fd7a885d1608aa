import { broadcastShapes, type Shape, sameShape, size } from '../../graph/types.ts'
import { between, inverse, isIdentity, movesNothing, type Order, permuted, range } from '../layout.ts'
import { type Line, reshape, spread, transpose, type Writer } from './text.ts'

/**
 * A value of a graph: a line whose axes lie in an order, and which is repeated along axes of length 1 to the value's shape. Convolutions leave
 * their channels last; what follows works in that order, and numbers are moved where something minds the order.
 */
export interface Laid {
  readonly line: Line
  readonly order: Order
  readonly shape: Shape
}
export const laid = (line: Line, order: Order): Laid => ({
  line,
  order,
  shape: permuted(line.type.shape, inverse(order)),
})
export const rowMajor = (line: Line): Laid => laid(line, range(line.type.shape.length))

/** Its numbers in another order. */
export const moved = (w: Writer, { line, order, shape }: Laid, to: Order): Laid => {
  const { shape: lying } = line.type
  const axes = between(order, to)
  const there = movesNothing(lying, axes) ? reshape(w, line, permuted(lying, axes)) : transpose(w, line, axes)
  return { line: there, order: to, shape }
}
/** All of its numbers. */
export const full = (w: Writer, { line, order, shape }: Laid): Laid => ({
  line: spread(w, line, permuted(shape, order), range(shape.length)),
  order,
  shape,
})
const isFull = ({ line, order, shape }: Laid): boolean => sameShape(line.type.shape, permuted(shape, order))
/** All of its numbers, row-major. */
export const plain = (w: Writer, x: Laid): Line => full(w, moved(w, x, range(x.shape.length))).line
/** With axes of length 1 in front, to have so many. */
export const ranked = (w: Writer, x: Laid, rank: number): Laid => {
  const { line, order, shape } = x
  if (rank === shape.length) return x
  const front = range(rank - shape.length)
  const ones = front.map(() => 1)
  return {
    line: reshape(w, line, [...ones, ...line.type.shape]),
    order: [...front, ...order.map((axis) => axis + front.length)],
    shape: [...ones, ...shape],
  }
}

/** The order in which most of some arrays of a shape lie; one that is not row-major where two are alike. */
const commonOrder = (xs: readonly Laid[], shape: Shape): Order => {
  const weights = new Map<string, { readonly order: Order; readonly weight: number }>()
  for (const x of xs) {
    if (!isFull(x) || !sameShape(x.shape, shape)) continue
    const order = movesNothing(x.line.type.shape, inverse(x.order)) ? range(shape.length) : x.order
    const weight = (weights.get(order.join())?.weight ?? (isIdentity(order) ? 0 : 0.5)) + 1
    weights.set(order.join(), { order, weight })
  }
  const [best] = [...weights.values()].sort((a, b) => b.weight - a.weight)
  return best?.order ?? range(shape.length)
}
/** Arrays that are computed with number by number, in one order and shape, and how the result lies. */
export const together = (
  w: Writer,
  xs: readonly Laid[],
  shape: Shape,
): { readonly lines: readonly Line[]; readonly as: (line: Line) => Laid } => {
  const all = xs.map((x) => ranked(w, x, shape.length))
  const order = commonOrder(all, shape)
  const lines = all.map((x) => moved(w, x, order).line)
  const joint = lines.reduce<Shape | undefined>(
    (sofar, { type }) => (sofar === undefined ? undefined : broadcastShapes(sofar, type.shape)),
    [],
  )
  if (joint === undefined) throw new Error('arrays that were laid out in shapes that do not broadcast')
  return {
    lines: lines.map((line) => spread(w, line, joint, range(joint.length))),
    as: (line) => ({ line, order, shape }),
  }
}
/** The order of the largest of some arrays that does not lie row-major. */
export const largestOrder = (xs: readonly Laid[], rank: number): Order => {
  const [first] = [...xs].sort((a, b) => size(b.shape) - size(a.shape)).filter(({ order }) => !isIdentity(order))
  return first?.order ?? range(rank)
}
/** How what lay in an order lies without some axes. */
export const without = (order: Order, axes: readonly number[]): Order => {
  const left = order.filter((axis) => !axes.includes(axis))
  return left.map((axis) => left.filter((other) => other < axis).length)
}
