import { type Codec, integer, list, record, word } from '../schema.ts'

/** The sizes of an array's axes; [] of a scalar. */
export type Shape = readonly number[]

/** Element types. The reference executor computes floats in float64; results of half precision it then rounds. */
export const dtypes = ['float32', 'float16', 'bfloat16', 'int32', 'bool'] as const
/** The type of an array's elements. */
export type DType = (typeof dtypes)[number]
export const dtype: Codec<DType> = word(dtypes)

/** Floats of 16 bits. */
export const halves = ['float16', 'bfloat16'] as const
export type Half = (typeof halves)[number]
export const isHalf = (d: DType): d is Half => d === 'float16' || d === 'bfloat16'
/** What a gradient can flow through. */
export const isFloat = (d: DType): d is 'float32' | Half => d === 'float32' || isHalf(d)

/** An element type and a shape. */
export interface TensorType {
  readonly dtype: DType
  readonly shape: Shape
}
export const shape: Codec<Shape> = list(integer({ min: 0 }))
export const tensorType: Codec<TensorType> = record({ dtype, shape })

/** The type float32 of a shape: `float(8, 3, 32, 32)`. */
export const float = (...s: Shape): TensorType => ({ dtype: 'float32', shape: s })
/** The type int32 of a shape: `int(8)`. */
export const int = (...s: Shape): TensorType => ({ dtype: 'int32', shape: s })

/** Number of elements. */
export const size = (s: Shape): number => s.reduce((a, b) => a * b, 1)
export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((d, i) => d === b[i])
export const sameType = (a: TensorType, b: TensorType): boolean => a.dtype === b.dtype && sameShape(a.shape, b.shape)
export const showShape = (s: Shape): string => `[${s.join(', ')}]`
/** A type as people read it: `float32[8, 3]`. */
export const showType = (x: TensorType): string => `${x.dtype}${showShape(x.shape)}`

/** Row-major strides, in elements. */
export const strides = (s: Shape): Shape => s.map((_, i) => size(s.slice(i + 1)))

/** The shape two shapes broadcast to (NumPy's rule), or undefined where they do not. */
export const broadcastShapes = (a: Shape, b: Shape): Shape | undefined => {
  const rank = Math.max(a.length, b.length)
  const dims = Array.from({ length: rank }, (_, i) => {
    const da = a[i - (rank - a.length)] ?? 1
    const db = b[i - (rank - b.length)] ?? 1
    return da === db || db === 1 ? da : da === 1 ? db : -1
  })
  return dims.includes(-1) ? undefined : dims
}

/** Axes of `to` along which a tensor of shape `from` was repeated, counted in `to`. */
export const broadcastAxes = (from: Shape, to: Shape): readonly number[] =>
  to.flatMap((d, i) => {
    const own = from[i - (to.length - from.length)]
    return own === undefined || (own === 1 && d !== 1) ? [i] : []
  })
