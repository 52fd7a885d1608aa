import { roundings } from '../../graph/half.ts'
import { isFloat, isHalf } from '../../graph/types.ts'
import type { Value } from '../executor.ts'
import type { Dense } from './dense.ts'

export const toDense = ({ dtype, shape, data }: Value): Dense => ({
  type: { dtype, shape },
  data: isHalf(dtype) ? Float64Array.from(data, roundings[dtype]) : Float64Array.from(data),
})
/** A copy that the caller may keep. */
export const toValue = ({ type: { dtype, shape }, data }: Dense): Value =>
  isFloat(dtype)
    ? { dtype, shape, data: data.slice() }
    : dtype === 'int32'
      ? { dtype, shape, data: Int32Array.from(data) }
      : { dtype, shape, data: Uint8Array.from(data) }
