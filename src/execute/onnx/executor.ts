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
interface Compiled {
  readonly ort: Runtime
  readonly graph: Graph
  readonly fed: Types
  readonly device: Device
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

/** How state is kept, by device. Only the GPU's holds on to the model, and so to its constants. */
const states: {
  readonly [D in Device]: (
    of: Pick<Compiled, 'ort' | 'graph' | 'session'>,
    model: Model,
    o: SessionOptions,
  ) => StartState
} = {
  cpu:
    ({ ort, graph, session }) =>
    (carry, initial) =>
      TE.right(hostState(ort, session, { carry, writable: writableInPlace(graph, carry) }, initial)),
  wasm:
    ({ ort, session }) =>
    (carry, initial) =>
      TE.right(passedState(ort, session, carry, initial)),
  webgpu:
    ({ ort }, model, options) =>
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

/** Graphs on a device of ONNX Runtime, of whichever build. */
export const executorOn = (device: Device, runtime: Effect<Runtime>): Executor => ({
  name: `onnx:${device}`,
  compile: (graph, { mode, threads, constants = {} }) =>
    pipe(
      TE.Do,
      TE.bind('ort', () => runtime),
      TE.chainFirst(({ ort }) => (device === 'webgpu' ? checkHalf(ort, graph) : TE.right(undefined))),
      TE.bind('block', ({ ort }) =>
        TE.fromTask(device === 'cpu' && mode === 'training' ? ort.blockSize : async () => null),
      ),
      TE.bind('model', ({ block }) =>
        TE.fromEither(
          pipe(
            checkFeeds(only(feedTypes(graph), Object.keys(constants)), constants, 'compile'),
            E.chain((checked) => lower(graph, { device, mode, block }, checked)),
          ),
        ),
      ),
      TE.let('options', (): SessionOptions => ({ device, mode, ...(threads === undefined ? {} : { threads }) })),
      TE.bind('session', ({ ort, model, options }) => createSession(ort, model, options)),
      TE.map(({ ort, model, options, session }) =>
        executable({
          ort,
          graph,
          fed: omit(feedTypes(graph), Object.keys(constants)),
          device,
          session,
          startState: states[device]({ ort, graph, session }, model, options),
        }),
      ),
    ),
})
