import { pipe, RR } from '../../prelude.ts'
import type { Values } from '../executor.ts'
import type { Types } from '../feeds.ts'
import { type Device, disposeAll, type Tensors, uploadAll } from './device.ts'
import { type Kept, moveTransposes } from './layout.ts'
import { prepare } from './machine.ts'
import { schedule } from './program.ts'
import { leaf } from './value.ts'

/** [O, C, h, w] kept as [h, w, C, O], as TensorFlow's convolutions read it: where each axis lies. */
const filter = [3, 2, 0, 1] as const

/** How constants are kept: every array of rank 4 is taken for a filter. */
export const keptOf = (types: Types): Kept =>
  Object.fromEntries(
    Object.entries(types).flatMap(([name, { dtype, shape }]) =>
      dtype === 'float32' && shape.length === 4 ? [[name, filter] as const] : [],
    ),
  )

/** Brings arrays to the device, each in the order of axes in which it is kept there. */
export const pack = (device: Device, types: Types, kept: Kept, values: Values): Tensors => {
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
