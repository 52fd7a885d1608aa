import type { Effect } from '../../error.ts'
import { pipe, TE } from '../../prelude.ts'
import { checkGraph } from '../check-graph.ts'
import type { Executor } from '../executor.ts'
import { addressable, compileTail, tailBytes } from '../tail/machine.ts'
import { type Split, splitTail } from '../tail/split.ts'
import { executorOn, type Program, type Source, sessionOf, whole } from './executor.ts'
import { runtime } from './native.ts'
import { runHalves, splitState } from './tail-session.ts'

/** The arithmetic at the graph's end in loops of our own, which read and write each array once: there, a runtime is bound by memory. */
const inTwo = (of: Source, { body, loops }: Split): Effect<Program> =>
  pipe(
    TE.Do,
    TE.bind('tail', () => compileTail(loops)),
    TE.bind('compiled', () => sessionOf(of, body)),
    TE.map(({ tail, compiled: { session } }) => {
      const halves = { graph: of.graph, body, session, tail }
      return {
        session: { ...session, run: runHalves(of.ort, halves) },
        startState: (carry, initial) => TE.right(splitState(of.ort, halves, carry, initial)),
      }
    }),
  )

const isWorthwhile = ({ body, loops }: Split): boolean =>
  Object.keys(body.outputs).length > 0 && loops.some(({ length }) => length > 1) && tailBytes(loops) <= addressable

const program = (of: Source): Effect<Program> => {
  const { device, mode } = of.options
  if (device !== 'cpu' || mode !== 'training') return whole(of)
  return pipe(
    TE.fromEither(checkGraph(of.graph)),
    TE.chain((graph) => {
      const split = splitTail(graph, new Set(Object.keys(of.constants)))
      return isWorthwhile(split) ? inTwo(of, split) : whole(of)
    }),
  )
}

/** Devices of onnxruntime-node. */
export type Device = 'cpu' | 'webgpu'

/**
 * Runs graphs on ONNX Runtime. `cpu` is its multi-threaded CPU provider, `webgpu` its WebGPU provider (Vulkan,
 * Metal or D3D12), which falls back on the CPU op by op. A run blocks the event loop until it is done.
 *
 * Errors: `compile` where the runtime or the device is missing, or refuses the graph; `run` where feeds do not fit.
 */
export const onnx = (device: Device): Executor => executorOn(device, runtime, program)
export { type Available, available } from './available.ts'
