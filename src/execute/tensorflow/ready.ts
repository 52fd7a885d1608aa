import { type Checked, type Effect, fail } from '../../error.ts'
import { dtypes } from '../../graph/types.ts'
import { E, pipe, TE } from '../../prelude.ts'
import type { Ready } from '../tfjs/backends.ts'
import { none } from '../tfjs/quirks.ts'
import type { Addon } from './addon.ts'
import { tensorflowDevice } from './device.ts'
import { computesIn, widening } from './half.ts'
import { lean } from './lean.ts'
import { tensorflow } from './load.ts'
import { howToGetGpu } from './places.ts'
import { oneChannel } from './quirk.ts'

/** The executors of TensorFlow, and the packages of npm whose addon serves where none was set up. */
export const packages = { node: '@tensorflow/tfjs-node', 'node-gpu': '@tensorflow/tfjs-node-gpu' } as const
export type TensorflowName = keyof typeof packages

/** TensorFlow that is loaded, as a backend. Errors: `compile` where it sees no GPU though one was asked for. */
export const readyOf = (name: TensorflowName, addon: Addon): Checked<Ready> => {
  const at = `tfjs:${name}`
  const gpu = addon.isUsingGpuDevice()
  const device = tensorflowDevice(addon, at)
  return name === 'node-gpu' && !gpu
    ? fail('compile', at, 'a GPU', 'TensorFlow runs, but sees no GPU', `NVIDIA's driver, and ${howToGetGpu}`)
    : E.right({
        engine: `TensorFlow ${addon.TF_Version}`,
        device,
        target: {
          name: at,
          has: () => true,
          preciseFunctions: true,
          quirk: oneChannel,
          sums: none,
          paddings: 'explicit',
          dtypes,
          halves: widening(computesIn(device, { gpu })),
          together: true,
          lean,
          integers: 2 ** 31,
        },
        description: gpu ? 'a GPU through CUDA' : 'the CPU',
        gpu,
      })
}

/** TensorFlow, on a GPU where it sees one. Errors: `compile` where it is missing or broken, or sees no GPU though one was asked for. */
export const readyOn = (name: TensorflowName): Effect<Ready> =>
  pipe(
    tensorflow(`tfjs:${name}`, packages[name], name === 'node-gpu'),
    TE.chain((addon) => TE.fromEither(readyOf(name, addon))),
  )
