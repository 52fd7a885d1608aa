import { type Checked, collect, type ErrorTag, fail } from '../../error.ts'
import { roundToHalf } from '../../graph/half.ts'
import { isFloat, sameShape, showType, size, type TensorType } from '../../graph/types.ts'
import { E, O, pipe, RR } from '../../prelude.ts'
import { didYouMean } from '../../schema.ts'
import type { Value, Values } from '../executor.ts'
import type { Dense, Feeds } from './dense.ts'

export const toDense = ({ dtype, shape, data }: Value): Dense => ({
  type: { dtype, shape },
  data: dtype === 'float16' ? Float64Array.from(data, roundToHalf) : Float64Array.from(data),
})
/** A copy that the caller may keep. */
export const toValue = ({ type: { dtype, shape }, data }: Dense): Value =>
  isFloat(dtype)
    ? { dtype, shape, data: data.slice() }
    : dtype === 'int32'
      ? { dtype, shape, data: Int32Array.from(data) }
      : { dtype, shape, data: Uint8Array.from(data) }

export type Types = Readonly<Record<string, TensorType>>

/** What stands under a name, and not what every object inherits. */
export const own = <A>(xs: Readonly<Record<string, A>>, name: string): A | undefined =>
  pipe(xs, RR.lookup(name), O.toUndefined)

const checkOne = (
  tag: ErrorTag,
  name: string,
  type: TensorType,
  value: Value | undefined,
): Checked<readonly [string, Dense]> => {
  if (value === undefined) return fail(tag, name, showType(type), 'nothing')
  if (value.dtype !== type.dtype || !sameShape(value.shape, type.shape))
    return fail(tag, name, showType(type), showType(value))
  return value.data.length === size(type.shape)
    ? E.right([name, toDense(value)])
    : fail(tag, name, `${size(type.shape)} numbers for ${showType(type)}`, `${value.data.length} numbers`)
}

/** Values that are exactly those of the given types; every fault is named. */
export const checkValues =
  (tag: ErrorTag, types: Types) =>
  (values: Values): Checked<Feeds> => {
    const names = Object.keys(types)
    const surplus = Object.entries(values).filter(([name]) => !Object.hasOwn(types, name))
    const all = collect([
      ...Object.entries(types).map(([name, type]) => checkOne(tag, name, type, own(values, name))),
      ...surplus.map(([name, value]) =>
        fail(tag, name, 'the name of a leaf that is fed', showType(value), didYouMean(name, names)),
      ),
    ])
    return E.isLeft(all) ? all : E.right(Object.fromEntries(all.right))
  }
