import { type Half, strides as rowMajor, type Shape, sameShape, size } from '../../graph/types.ts'
import { broadcastStrides } from '../reference/dense.ts'

/** How a number lies in memory: as 4 bytes (a float, an integer, a bool as 0 or 1), or as a float of 2. */
export type Element = 'word' | Half
export const elementBytes: { readonly [E in Element]: number } = { word: 4, float16: 2, bfloat16: 2 }

/** Numbers of a buffer seen as an array: the element at an index is number `offset + sum of index * stride`. */
export interface View {
  readonly buffer: number
  /** The same of all views of a buffer. */
  readonly element: Element
  readonly offset: number
  readonly shape: Shape
  /** 0 along an axis that repeats. */
  readonly strides: Shape
}

const range = (length: number): readonly number[] => Array.from({ length }, (_, i) => i)
const at = (s: Shape, i: number): number => s[i] ?? 0

/** A whole buffer; axes lie in the given order, the last of them together. */
export const dense = (
  buffer: number,
  shape: Shape,
  order: Shape = range(shape.length),
  element: Element = 'word',
): View => {
  const laid = rowMajor(order.map((axis) => at(shape, axis)))
  return { buffer, element, offset: 0, shape, strides: shape.map((_, axis) => at(laid, order.indexOf(axis))) }
}

export const permuted = (v: View, permutation: Shape): View => ({
  ...v,
  shape: permutation.map((p) => at(v.shape, p)),
  strides: permutation.map((p) => at(v.strides, p)),
})

export const part = (v: View, start: Shape, extent: Shape): View => ({
  ...v,
  shape: extent,
  offset: v.offset + start.reduce((sum, s, axis) => sum + s * at(v.strides, axis), 0),
})

/** Repeated to a shape that it broadcasts to. */
export const spread = (v: View, shape: Shape): View => {
  if (sameShape(v.shape, shape)) return v
  const added = shape.length - v.shape.length
  const repeats = broadcastStrides(v.shape, shape)
  return { ...v, shape, strides: shape.map((_, i) => (at(repeats, i) === 0 ? 0 : at(v.strides, i - added))) }
}

/** Axes longer than 1, those that lie together joined; their strides. */
const joined = (v: View): readonly { readonly length: number; readonly stride: number }[] => {
  const out: { length: number; stride: number }[] = []
  v.shape.forEach((length, i) => {
    if (length === 1) return
    const [last, stride] = [out.at(-1), at(v.strides, i)]
    if (last !== undefined && last.stride === stride * length) {
      last.length *= length
      last.stride = stride
    } else out.push({ length, stride })
  })
  return out
}

/** The same elements in the same order under another shape, where no copy is needed for it. */
export const reshaped = (v: View, shape: Shape): View | undefined => {
  if (size(shape) === 0) return { ...v, shape, strides: rowMajor(shape) }
  const runs = joined(v)
  const strides: number[] = shape.map(() => 0)
  let run = runs.length - 1
  let [left, stride] = [runs[run]?.length ?? 1, runs[run]?.stride ?? 1]
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const length = at(shape, axis)
    if (length === 1) continue
    if (left === 1) {
      run--
      left = runs[run]?.length ?? 1
      stride = runs[run]?.stride ?? 1
    }
    if (left % length !== 0) return undefined
    strides[axis] = stride
    stride *= length
    left /= length
  }
  return { ...v, shape, strides }
}

/** The axes from that whose steps are longest to that whose are shortest. */
export const orderOf = ({ shape, strides }: View): Shape =>
  [...range(shape.length)].sort((a, b) => at(strides, b) - at(strides, a) || a - b)

/** Whether the elements lie as an array of this shape does whose axes lie in the given order, without gaps. */
export const liesAs = (v: View, order: Shape = range(v.shape.length)): boolean => {
  const want = dense(v.buffer, v.shape, order)
  return v.shape.every((length, axis) => length === 1 || at(want.strides, axis) === at(v.strides, axis))
}
/** Whether no element is seen twice. */
export const isDistinct = ({ shape, strides }: View): boolean =>
  shape.every((length, axis) => length === 1 || at(strides, axis) !== 0)

/** Elements that the view reads from memory, each once. */
export const touched = ({ shape, strides }: View): number =>
  shape.reduce((n, length, axis) => (at(strides, axis) === 0 ? n : n * length), 1)

export const keyOf = ({ buffer, offset, shape, strides }: View): string =>
  `${buffer}+${offset}:${shape.join()}:${shape.map((d, i) => (d === 1 ? 0 : at(strides, i))).join()}`

/** The order of a picture's axes [N, C, H, W] in memory. */
export const channelsLast: Shape = [0, 2, 3, 1]
/** Steps along axes of length 1 as an array without gaps has them. */
export const canonical = (view: View, order: Shape): View => ({
  ...dense(view.buffer, view.shape, order, view.element),
  offset: view.offset,
})
/** Items from one on up to another of an array whose first axis they are. */
export const itemsOf = (view: View, [from, to]: readonly [number, number]): View =>
  part(view, [from, ...view.shape.slice(1).map(() => 0)], [to - from, ...view.shape.slice(1)])
