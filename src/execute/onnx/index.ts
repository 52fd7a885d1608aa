import type { Effect } from '../../error.ts'
import { feedTypes, type Graph, outputTypes } from '../../graph/graph.ts'
import { pipe, TE } from '../../prelude.ts'
import { mergeGradients } from '../../transform/index.ts'
import { omit, only } from '../carry.ts'
import type { Executor } from '../executor.ts'
import { independentParts } from '../parts.ts'
import { addressable, compileTail, tailBytes } from '../tail/machine.ts'
import { type Split, splitTail } from '../tail/split.ts'
import { turnWeights } from '../tail/turned.ts'
import { lower } from './compile.ts'
import { type Costs, measured } from './costs.ts'
import { executorOn, type Program, type Source, sessionOf, whole } from './executor.ts'
import { runtime } from './native.ts'
import type { Session } from './session.ts'
import { type Part, sideBySide } from './side-by-side.ts'
import { runHalves, splitState } from './tail-session.ts'
import { threadsHere } from './threads.ts'

/** Parts of a body that have nothing to do with each other get threads of their own. */
const bodySession = (of: Source, body: Graph): Effect<Session> => {
  const threads = of.options.threads ?? threadsHere()
  const [first = body, ...others] = independentParts(body, threads)
  if (others.length === 0)
    return pipe(
      sessionOf(of, body),
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
  const options = { ...of.options, threads: Math.max(1, Math.floor(threads / (others.length + 1))) }
  return sideBySide(of.ort, [part(first), ...others.map(part)], options)
}

/** The arithmetic at the graph's end in loops of our own, which read and write each array once: there, a runtime is bound by memory. */
const inTwo = (of: Source, { split, turned }: ReturnType<typeof turnWeights>): Effect<Program> =>
  pipe(
    TE.Do,
    TE.bind('tail', () => compileTail(split.loops)),
    TE.bind('session', () => bodySession(of, split.body)),
    TE.map(({ tail, session }) => {
      const halves = { graph: of.graph, body: split.body, session, tail, turned }
      return {
        session: { ...session, run: runHalves(of.ort, halves) },
        startState: (carry, initial) => TE.right(splitState(of.ort, halves, carry, initial)),
      }
    }),
  )

const isWorthwhile = ({ body, loops }: Split): boolean =>
  Object.keys(body.outputs).length > 0 && loops.some(({ length }) => length > 1) && tailBytes(loops) <= addressable

/**
 * Gradients of a weight over two batches become one, unless they are of parts that threads could share. How many threads
 * there are is not asked, so that it does not change the numbers.
 */
const bodyAndTail = ({ graph, constants }: Source): Split => {
  const baked = new Set(Object.keys(constants))
  const split = splitTail(graph, baked)
  return independentParts(split.body, 2).length > 1 ? split : splitTail(mergeGradients(graph), baked)
}

const program = (of: Source): Effect<Program> => {
  const { device, mode } = of.options
  if (device !== 'cpu' || mode !== 'training') return whole(of)
  const split = bodyAndTail(of)
  return isWorthwhile(split) ? inTwo(of, turnWeights(split)) : whole(of)
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
export const onnx = (device: Device, costs: Costs = measured): Executor => executorOn(device, runtime, program, costs)
export { type Available, available } from './available.ts'
