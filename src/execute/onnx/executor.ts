import type { Effect } from '../../error.ts'
import { feedTypes, type Graph, outputTypes } from '../../graph/graph.ts'
import { E, pipe, RR, TE } from '../../prelude.ts'
import type { Carry, Executable, Executor, Stepper, Values } from '../executor.ts'
import { checkFeeds, type Types } from '../feeds.ts'
import { defer, exclusive, lifetime } from '../lifetime.ts'
import { checkCarry, omit, only } from '../reference/carry.ts'
import { assemble } from './assemble.ts'
import type { Device } from './devices.ts'
import { checkHalf } from './half-support.ts'
import { writableInPlace } from './in-place.ts'
import { lower } from './lower.ts'
import type { Model } from './proto.ts'
import { type Runtime, toTensor, toValue } from './runtime.ts'
import { createSession, type Session, type SessionOptions, type Tensors } from './session.ts'
import { hostState, passedState, residentState, type State } from './stepper.ts'
import { leaf } from './value.ts'

/** Everything a compiled graph is made of. */
interface Compiled extends Program {
  readonly ort: Runtime
  readonly graph: Graph
  readonly fed: Types
  readonly device: Device
}
/** A graph in whole or in two. */
export interface Program {
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
export interface Source {
  readonly ort: Runtime
  readonly graph: Graph
  readonly options: SessionOptions
  readonly constants: Values
  readonly block: number | null
}

export const sessionOf = ({ ort, options, constants, block }: Source, graph: Graph) =>
  pipe(
    TE.fromEither(lower(graph, { ...options, block }, constants)),
    TE.bindTo('model'),
    TE.bind('session', ({ model }) => createSession(ort, model, options)),
  )

/** All of it in the runtime. */
export const whole = (of: Source): Effect<Program> =>
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
  wasm:
    ({ ort }, session) =>
    (carry, initial) =>
      TE.right(passedState(ort, session, carry, initial)),
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

/** Graphs on a device of ONNX Runtime, of whichever build; `program` says what of a graph the runtime gets to see. */
export const executorOn = (
  device: Device,
  runtime: Effect<Runtime>,
  program: (of: Source) => Effect<Program> = whole,
): Executor => ({
  name: `onnx:${device}`,
  compile: (graph, { mode, threads, constants = {} }) =>
    pipe(
      TE.Do,
      TE.bind('ort', () => runtime),
      TE.chainFirst(({ ort }) => (device === 'webgpu' ? checkHalf(ort, graph) : TE.right(undefined))),
      TE.bind('block', ({ ort }) =>
        TE.fromTask(device === 'cpu' && mode === 'training' ? ort.blockSize : async () => null),
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
