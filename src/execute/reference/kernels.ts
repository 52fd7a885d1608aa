import type { OpKind } from '../../graph/ops.ts'
import { size } from '../../graph/types.ts'
import { E } from '../../prelude.ts'
import type { Computed, Dense, Feeds, Kernels } from './dense.ts'
import { elementwise } from './elementwise.ts'
import { movement } from './movement.ts'
import { normalisation } from './normalisation.ts'
import { products } from './products.ts'
import { reductions } from './reductions.ts'

const fed = ({ name }: { readonly name: string }, _: readonly Dense[], __: unknown, feeds: Feeds): Computed => {
  const found = feeds[name]
  if (found === undefined) throw new Error(`leaf ${name} ran before its feed was checked`)
  return E.right(found.data)
}

/** The meaning of every op. */
export const kernels: Kernels<OpKind> = {
  input: fed,
  parameter: fed,
  noise: fed,
  constant: ({ type, data }) =>
    E.right(
      data.length === 1 ? new Float64Array(size(type.shape)).fill(data[0] ?? Number.NaN) : Float64Array.from(data),
    ),
  ...elementwise,
  ...reductions,
  ...products,
  ...movement,
  ...normalisation,
}
