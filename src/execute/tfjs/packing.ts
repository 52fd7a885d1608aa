import { pipe, RR } from '../../prelude.ts'
import type { Values } from '../executor.ts'
import type { Types } from '../feeds.ts'
import { inverse, orders } from '../layout.ts'
import { type Arrays, type Device, disposeAll, uploadAll } from './device.ts'
import { type Kept, moveTransposes } from './layout.ts'
import { prepare } from './machine.ts'
import { schedule } from './program.ts'
import { leaf } from './value.ts'

/** Filters are kept as TensorFlow's convolutions read them: where each axis lies. */
const filter = inverse(orders.hwio)

/** How constants are kept: every array of rank 4 is taken for a filter. */
export const keptOf = (types: Types): Kept =>
  Object.fromEntries(
    Object.entries(types).flatMap(([name, { dtype, shape }]) =>
      dtype === 'float32' && shape.length === 4 ? [[name, filter] as const] : [],
    ),
  )

/** Brings arrays to the device, each in the order of axes in which it is kept there. */
export const pack = (device: Device, types: Types, kept: Kept, values: Values): Arrays => {
  const machine = prepare(
    device,
    pipe(RR.mapWithIndex(leaf)(types), (own) => moveTransposes(own, { outputs: kept }), schedule),
  )
  const given = uploadAll(device, values)
  try {
    return machine.run(given)
  } finally {
    disposeAll(given)
  }
}
