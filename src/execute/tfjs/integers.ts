import { type Checked, collect, type ErrorTag, fail } from '../../error.ts'
import { size } from '../../graph/types.ts'
import { E, pipe } from '../../prelude.ts'
import type { Values } from '../executor.ts'
import { binary } from './arithmetic.ts'
import type { Target } from './lowering.ts'
import { call, concat, reshape, shapeOf, slice, type Value } from './value.ts'

/** [rows, width] -> [1, width], by halves: additions keep int32 where sums and products pass through float32. */
const folded = (x: Value): Value => {
  const [rows = 0, width = 0] = shapeOf(x)
  if (rows === 1) return x
  const half = Math.floor(rows / 2)
  const part = (from: number, count: number): Value => slice(x, [from, 0], [count, width])
  const both = binary('Add', part(0, half), part(half, half))
  return folded(rows % 2 === 0 ? both : concat(0, [both, part(rows - 1, 1)]))
}

/** For indices[hits] the rows of the unit matrix. */
export const oneHot = (indices: Value, rows: number): Value =>
  call(
    'OneHot',
    [indices],
    { dtype: 'int32', shape: [size(shapeOf(indices)), rows] },
    { dtype: 'int32', depth: rows, onValue: 1, offValue: 0 },
  )
/** indices[hits], int32 updates[hits, width], not empty -> [rows, width], exact to the last bit. */
export const scatterIntegers = (indices: Value, updates: Value, rows: number): Value => {
  const [hits = 0, width = 0] = shapeOf(updates)
  const spread = binary('Multiply', reshape(oneHot(indices, rows), [hits, rows, 1]), reshape(updates, [hits, 1, width]))
  return reshape(folded(reshape(spread, [hits, rows * width])), [rows, width])
}

/** Integers that a backend would round are errors, by name. */
export const checkIntegers =
  ({ name, integers }: Target, tag: ErrorTag) =>
  (values: Values): Checked<Values> =>
    pipe(
      collect(
        Object.entries(values).map(([at, { dtype, data }]) => {
          const far = dtype === 'int32' ? data.find((x) => Math.abs(x) > integers) : undefined
          return far === undefined
            ? E.right(at)
            : fail(tag, at, `integers of up to ${integers}, as far as ${name} has them`, String(far))
        }),
      ),
      E.map(() => values),
    )
