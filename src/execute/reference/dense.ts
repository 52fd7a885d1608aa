import type { Attributes, OpKind } from '../../graph/ops.ts'
import type { Misfit } from '../../graph/shape-rules.ts'
import { type Shape, size, strides, type TensorType } from '../../graph/types.ts'
import { E, type Either } from '../../prelude.ts'

/** An array inside the reference executor, row-major. float64 holds every value of all dtypes exactly. */
export interface Dense {
  readonly type: TensorType
  readonly data: Float64Array
}
export type Feeds = Readonly<Record<string, Dense>>

/** A result, or why these very numbers have none. */
export type Computed = Either<Misfit, Float64Array>

/** What an op means: the elements of its result, row-major, given that the types fit. */
export type Kernel<K extends OpKind> = (
  attributes: Attributes[K],
  operands: readonly Dense[],
  type: TensorType,
  feeds: Feeds,
) => Computed
export type Kernels<K extends OpKind> = { readonly [P in K]: Kernel<P> }

/** A kernel that is defined for all numbers. */
export const total =
  <A>(f: (attributes: A, operands: readonly Dense[], type: TensorType) => Float64Array) =>
  (attributes: A, operands: readonly Dense[], type: TensorType): Computed =>
    E.right(f(attributes, operands, type))

/** The element at `i`; a read past the end is a bug and shows as NaN. */
export const get = (data: Float64Array, i: number): number => data[i] ?? Number.NaN
export const dim = (s: Shape, i: number): number => s[i] ?? Number.NaN
export const operand = (xs: readonly Dense[], i: number): Dense => {
  const x = xs[i]
  if (x === undefined) throw new Error(`operand ${i} of ${xs.length}`)
  return x
}

/** Where the elements of a shape lie under some strides, in row-major order: offset + sum of index * stride. */
export const positions = (s: Shape, stride: Shape, offset = 0): Int32Array => {
  const out = new Int32Array(size(s))
  const index = s.map(() => 0)
  let at = offset
  for (let i = 0; i < out.length; i++) {
    out[i] = at
    for (let axis = s.length - 1; axis >= 0; axis--) {
      const [d, step, own] = [dim(s, axis), dim(stride, axis), dim(index, axis)]
      if (own + 1 < d) {
        index[axis] = own + 1
        at += step
        break
      }
      index[axis] = 0
      at -= own * step
    }
  }
  return out
}

/** The elements at the given positions. */
export const take = (data: Float64Array, at: Int32Array): Float64Array => {
  const out = new Float64Array(at.length)
  for (let i = 0; i < out.length; i++) out[i] = get(data, at[i] ?? -1)
  return out
}

/** Writes elements to the given positions. */
export const place = (out: Float64Array, at: Int32Array, data: Float64Array): void =>
  at.forEach((p, i) => {
    out[p] = get(data, i)
  })

/** Strides under which a shape reads as the shape it broadcasts to: 0 along repeated axes. */
export const broadcastStrides = (from: Shape, to: Shape): Shape => {
  const own = strides(from)
  const added = to.length - from.length
  return to.map((_, i) => (i < added || from[i - added] === 1 ? 0 : dim(own, i - added)))
}

/** The elements of x repeated to a shape. */
export const spread = (x: Dense, to: Shape): Float64Array =>
  size(x.type.shape) === size(to) ? x.data : take(x.data, positions(to, broadcastStrides(x.type.shape, to)))
