import { size, type TensorType } from '../graph/types.ts'

interface Typed {
  readonly type: TensorType
}
const isEmpty = ({ shape }: TensorType): boolean => size(shape) === 0

/** Whether there is nothing to compute: no number is asked for, or none is there, and what sums or pads none is 0. Kernels forget such arrays. */
export const isOfNone = (result: TensorType, operands: readonly Typed[]): boolean =>
  operands.length > 0 && (isEmpty(result) || operands.every((x) => isEmpty(x.type)))
