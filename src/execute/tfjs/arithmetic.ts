import { broadcastShapes, type DType, size } from '../../graph/types.ts'
import type { Kernel } from './kernel.ts'
import { call, scalar, type Value } from './value.ts'

type Binary = 'Add' | 'Sub' | 'Multiply' | 'RealDiv' | 'FloorDiv' | 'Maximum' | 'Minimum'
type Comparison = 'Equal' | 'NotEqual' | 'Less'

export const unary = (kernel: Kernel, x: Value): Value => call(kernel, [x], x.type)

const joint = (kernel: Kernel, a: Value, b: Value, dtype: DType): Value => {
  const shape = broadcastShapes(a.type.shape, b.type.shape)
  if (shape === undefined) throw new Error(`${kernel} of shapes that do not broadcast`)
  return call(kernel, [a, b], { dtype, shape })
}
export const binary = (kernel: Binary, a: Value, b: Value): Value => joint(kernel, a, b, a.type.dtype)
export const comparison = (kernel: Comparison, a: Value, b: Value): Value => joint(kernel, a, b, 'bool')

/** With a number. */
export const times = (x: Value, k: number): Value => binary('Multiply', x, scalar(x.type.dtype, k))
export const plus = (x: Value, k: number): Value => binary('Add', x, scalar(x.type.dtype, k))
export const over = (x: Value, k: number): Value => times(x, 1 / k)
export const count = (x: Value): number => size(x.type.shape)
