import { availableParallelism } from 'node:os'
import { type Checked, collect, type Effect } from '../../error.ts'
import { feedTypes, type Graph, outputTypes } from '../../graph/graph.ts'
import { E, pipe, RR, TE } from '../../prelude.ts'
import { checkGraph } from '../check-graph.ts'
import type { Carry, Executable, Executor, Stepper, Values } from '../executor.ts'
import { checkFeeds, type Types } from '../feeds.ts'
import { defer, exclusive, lifetime } from '../lifetime.ts'
import { independentParts } from '../parts.ts'
import { checkCarry, omit, only } from '../reference/carry.ts'
import { addressable, compileTail, tailBytes } from '../tail/machine.ts'
import { type Split, splitTail } from '../tail/split.ts'
import { assemble } from './assemble.ts'
import { blockSize } from './block-size.ts'
import { checkHalf } from './half-support.ts'
import { writableInPlace } from './in-place.ts'
import { lower } from './lower.ts'
import type { Device } from './lowering.ts'
import type { Model } from './proto.ts'
import { type Runtime, runtime, toTensor, toValue } from './runtime.ts'
import { createSession, type Session, type SessionOptions, type Tensors } from './session.ts'
import { type Part, sideBySide } from './side-by-side.ts'
import { hostState, residentState, type State } from './stepper.ts'
import { runHalves, splitState } from './tail-session.ts'
import { leaf } from './value.ts'

/** Everything a compiled graph is made of. */
interface Compiled extends Program {
  readonly ort: Runtime
  readonly graph: Graph
  readonly fed: Types
  readonly device: Device
}
/** A graph in whole or in two. */
interface Program {
  readonly session: Session
  readonly startState: StartState
}
type StartState = (carry: Carry, initial: Values, carriedTypes: Types) => Effect<State>

const stepper = (ort: Runtime, at: string, state: State, fed: Types): Stepper => {
  const { during, end } = lifetime(at, 'stepper', state.release)
  const exclusively = exclusive(at)
  return {
    step: (feeds) =>
      pipe(
        TE.fromEither(checkFeeds(fed, feeds)),
        TE.chain((checked) => exclusively(defer(() => state.step(tensors(ort, checked))))),
        TE.map(RR.map(toValue)),
        during,
      ),
    read: during(exclusively(state.read)),
    dispose: end,
  }
}
const tensors = (ort: Runtime, values: Values): Tensors => RR.map((v: Values[string]) => toTensor(ort, v))(values)

/** Returns its inputs. */
const identityModel = (types: Types): Model => {
  const all = Object.entries(types).map(([name, type]) => ({ name, type }))
  return assemble(
    all,
    all.map((x) => ({ ...x, value: leaf(x.name) })),
  )
}

/** What a program is made from. */
interface Source {
  readonly ort: Runtime
  readonly graph: Graph
  readonly options: SessionOptions
  readonly constants: Values
  readonly block: number | null
}

const sessionOf = ({ ort, options, constants, block }: Source, graph: Graph) =>
  pipe(
    TE.fromEither(lower(graph, { ...options, block }, constants)),
    TE.bindTo('model'),
    TE.bind('session', ({ model }) => createSession(ort, model, options)),
  )

/** All of it in the runtime. */
const whole = (of: Source): Effect<Program> =>
  pipe(
    sessionOf(of, of.graph),
    TE.map(({ model, session }) => ({ session, startState: states[of.options.device](of, session, model) })),
  )

/** How state is kept, by device. Only the GPU's holds on to the model, and so to its constants. */
const states: { readonly [D in Device]: (of: Source, session: Session, model: Model) => StartState } = {
  cpu:
    ({ ort, graph }, session) =>
    (carry, initial) =>
      TE.right(hostState(ort, session, { carry, writable: writableInPlace(graph, carry) }, initial)),
  webgpu:
    ({ ort, options }, _, model) =>
    (carry, initial, carriedTypes) =>
      pipe(
        TE.Do,
        TE.bind('session', () => createSession(ort, model, { ...options, resident: Object.keys(carry) })),
        TE.bind('reader', () => createSession(ort, identityModel(carriedTypes), { ...options, resident: [] })),
        TE.map((sessions) => residentState(ort, sessions, carry, initial)),
      ),
}

/** Parts of a body that have nothing to do with each other get threads of their own. */
const bodySession = (of: Source, body: Graph): Effect<Session> => {
  const threads = of.options.threads ?? availableParallelism()
  const [first = body, ...others] = independentParts(body, threads)
  if (others.length === 0)
    return pipe(
      sessionOf(of, body),
      TE.map(({ session }) => session),
    )
  const part = (graph: Graph): Checked<Part> =>
    pipe(
      lower(graph, { ...of.options, block: of.block }, only(of.constants, Object.keys(feedTypes(graph)))),
      E.map((model) => ({
        model,
        fed: omit(feedTypes(graph), Object.keys(of.constants)),
        made: outputTypes(graph),
      })),
    )
  const options = { ...of.options, threads: Math.max(1, Math.floor(threads / (others.length + 1))) }
  return pipe(
    TE.fromEither(part(first)),
    TE.bindTo('here'),
    TE.bind('elsewhere', () => TE.fromEither(collect(others.map(part)))),
    TE.chain(({ here, elsewhere }) => sideBySide(of.ort, [here, ...elsewhere], options)),
  )
}

/** The arithmetic at the graph's end in loops of our own, which read and write each array once: there, a runtime is bound by memory. */
const inTwo = (of: Source, { body, loops }: Split): Effect<Program> =>
  pipe(
    TE.Do,
    TE.bind('tail', () => compileTail(loops)),
    TE.bind('session', () => bodySession(of, body)),
    TE.map(({ tail, session }) => {
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

const executable = (c: Compiled): Executable => {
  const at = `onnx:${c.device}`
  const { during, end } = lifetime(at, 'executable', c.session.release)
  return {
    run: (feeds) =>
      pipe(
        TE.fromEither(checkFeeds(c.fed, feeds)),
        TE.chain((checked) => c.session.run(tensors(c.ort, checked))),
        TE.map(RR.map(toValue)),
        during,
      ),
    start: (carry, initial) =>
      pipe(
        checkCarry(carry, outputTypes(c.graph), c.fed),
        E.chainFirst((types) => checkFeeds(types, initial)),
        TE.fromEither,
        TE.chain((types) =>
          pipe(
            c.startState(carry, initial, types),
            TE.map((state) => stepper(c.ort, at, state, omit(c.fed, Object.keys(types)))),
          ),
        ),
        during,
      ),
    dispose: end,
  }
}

/**
 * Runs graphs on ONNX Runtime. `cpu` is its multi-threaded CPU provider, `webgpu` its WebGPU provider (Vulkan,
 * Metal or D3D12), which falls back on the CPU op by op. A run blocks the event loop until it is done.
 *
 * Errors: `compile` where the runtime or the device is missing, or refuses the graph; `run` where feeds do not fit.
 */
export const onnx = (device: Device): Executor => ({
  name: `onnx:${device}`,
  compile: (graph, { mode, threads, constants = {} }) =>
    pipe(
      TE.Do,
      TE.bind('ort', () => runtime),
      TE.chainFirst(({ ort }) => (device === 'webgpu' ? checkHalf(ort, graph) : TE.right(undefined))),
      TE.bind('block', ({ ort }) =>
        TE.fromTask(device === 'cpu' && mode === 'training' ? blockSize(ort) : async () => null),
      ),
      TE.bind('constants', () =>
        TE.fromEither(checkFeeds(only(feedTypes(graph), Object.keys(constants)), constants, 'compile')),
      ),
      TE.let('options', (): SessionOptions => ({ device, mode, ...(threads === undefined ? {} : { threads }) })),
      TE.bind('program', (of) => program({ ...of, graph })),
      TE.map(({ ort, program }) =>
        executable({ ...program, ort, graph, fed: omit(feedTypes(graph), Object.keys(constants)), device }),
      ),
    ),
})
export { type Available, available } from './available.ts'
export type { Device } from './lowering.ts'
