import { isFloat } from '../../graph/types.ts'
import { pipe, RR } from '../../prelude.ts'
import type { Value as ArrayValue, Values } from '../executor.ts'
import type { Types } from '../feeds.ts'
import { inverse, orders } from '../layout.ts'
import { type Arrays, type Device, disposeAll, uploadAll } from './device.ts'
import { type Kept, moveTransposes } from './layout.ts'
import { prepare } from './machine.ts'
import { narrowed } from './narrow.ts'
import { schedule } from './program.ts'
import { cast, leaf, type Roots } from './value.ts'

/** Filters are kept as TensorFlow's convolutions read them: where each axis lies. */
const filter = inverse(orders.hwio)

/** How constants are kept: every array of rank 4 is taken for a filter. */
const keptOf = (types: Types): Kept =>
  Object.fromEntries(
    Object.entries(types).flatMap(([name, { dtype, shape }]) =>
      isFloat(dtype) && shape.length === 4 ? [[name, filter] as const] : [],
    ),
  )

/** Leaves that are given once: what is left to compute of them, and how each is kept. */
export interface Plan {
  readonly roots: Roots
  readonly types: Types
  readonly kept: Kept
}
/** How leaves are kept that are given once. Pure. */
export const keeping = (roots: Roots, given: Types): Plan => {
  const plan = narrowed(roots, given)
  return { ...plan, kept: keptOf(plan.types) }
}
/** Brings arrays to the device, each of the type and in the order of axes in which it is kept there. */
export const pack = (device: Device, { types, kept }: Plan, values: Values): Arrays => {
  const given = RR.mapWithIndex((name: string, { dtype, shape }: ArrayValue) =>
    cast(leaf(name, { dtype, shape }), types[name]?.dtype ?? dtype),
  )(values)
  const machine = prepare(device, pipe(moveTransposes(given, { outputs: kept }), schedule))
  const own = uploadAll(device, values)
  try {
    return machine.run(own)
  } finally {
    disposeAll(own)
  }
}
