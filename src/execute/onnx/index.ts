import type { Effect } from '../../error.ts'
import { feedTypes, type Graph, outputTypes } from '../../graph/graph.ts'
import { pipe, TE } from '../../prelude.ts'
import { omit, only } from '../carry.ts'
import type { Executor } from '../executor.ts'
import { loopsIn, partsIn, type Staged } from '../stages.ts'
import { compileTail } from '../tail/machine.ts'
import { lower, staged } from './compile.ts'
import { type Costs, measured } from './costs.ts'
import { executorOn, type Program, type Source, sessionOf, whole } from './executor.ts'
import { runtime } from './native.ts'
import type { Session } from './session.ts'
import { type Part, sideBySide } from './side-by-side.ts'
import { runOnce, stagedState } from './staged-session.ts'
import { threadsHere } from './threads.ts'

/** Graphs as one session: parts share out the threads. */
const sessionOfParts = (of: Source, parts: readonly Graph[], threads: number): Effect<Session> => {
  const [first = of.graph, ...others] = parts
  if (others.length === 0)
    return pipe(
      sessionOf(of, first),
      TE.map(({ session }) => session),
    )
  const baked = Object.keys(of.constants)
  const part = (graph: Graph): Part => {
    const types = feedTypes(graph)
    return {
      model: lower(graph, { ...of.options, block: of.block, costs: of.costs }, only(of.constants, Object.keys(types))),
      fed: omit(types, baked),
      made: outputTypes(graph),
    }
  }
  const options = { ...of.options, threads: Math.max(1, Math.floor(threads / parts.length)) }
  return sideBySide(of.ort, [part(first), ...others.map(part)], options)
}

/** Graphs, and loops behind them. */
const inStages = (of: Source, made: Staged, threads: number): Effect<Program> =>
  pipe(
    TE.Do,
    TE.bind('tail', () => compileTail(loopsIn(made))),
    TE.bind('session', () => sessionOfParts(of, partsIn(made), threads)),
    TE.map(({ tail, session }) => {
      const compiled = { staged: made, session, tail }
      return {
        session: { ...session, run: runOnce(of.ort, compiled) },
        startState: (carry, initial) => TE.right(stagedState(of.ort, compiled, carry, initial)),
      }
    }),
  )

const program = (of: Source): Effect<Program> => {
  const threads = of.options.threads ?? threadsHere()
  const baked = Object.keys({ ...of.constants, ...of.files })
  const made = staged(of.graph, { ...of.options, costs: of.costs, threads }, baked)
  const [graph = of.graph] = partsIn(made)
  return loopsIn(made).length > 0 ? inStages(of, made, threads) : whole({ ...of, graph })
}

/** Devices of onnxruntime-node. */
export type Device = 'cpu' | 'webgpu'

/**
 * Runs graphs on ONNX Runtime. `cpu` is its multi-threaded CPU provider, `webgpu` its WebGPU provider (Vulkan,
 * Metal or D3D12), which falls back on the CPU op by op. A run blocks the event loop until it is done.
 *
 * `costs` choose between ways to compute the same.
 *
 * Errors: `compile` where the runtime or the device is missing, or refuses the graph; `run` where feeds do not fit.
 */
export const onnx = (device: Device, costs: Costs = measured): Executor =>
  executorOn(device, runtime, { program, costs, threads: threadsHere })
export { type Available, available } from './available.ts'
