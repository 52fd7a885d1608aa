import type { Effect } from '../../error.ts'
import { feedTypes, type Graph } from '../../graph/graph.ts'
import { identity, pipe, RR, TE } from '../../prelude.ts'
import { omit, only } from '../carry.ts'
import { contracted } from '../contract.ts'
import type { Carry, Executable, Executor, FileArrays, Stepper, Values } from '../executor.ts'
import type { Types } from '../feeds.ts'
import { readFiles } from '../files.ts'
import { defer } from '../lifetime.ts'
import { simulated } from '../simulated.ts'
import { assemble } from './assemble.ts'
import { lower, staged } from './compile.ts'
import { type Costs, measured } from './costs.ts'
import type { Device } from './devices.ts'
import { explained } from './explain.ts'
import { checkHalf } from './half-support.ts'
import { writableInPlace } from './in-place.ts'
import type { Model } from './proto.ts'
import { type Runtime, toTensor, toValue } from './runtime.ts'
import { createSession, type Session, type SessionOptions, type Tensors } from './session.ts'
import { type Held, hostState, nothingHeld, passedState, residentState, type State, uploaded } from './stepper.ts'
import { leaf } from './value.ts'

/** Everything a compiled graph is made of. */
interface Compiled extends Program {
  readonly ort: Runtime
}
/** A graph in whole or in two. */
export interface Program {
  readonly session: Session
  readonly startState: StartState
}
type StartState = (carry: Carry, initial: Values) => Effect<State>

const tensors = (ort: Runtime, values: Values): Tensors => RR.map((v: Values[string]) => toTensor(ort, v))(values)

const stepper = (ort: Runtime, state: State): Stepper => ({
  step: (feeds) =>
    pipe(
      defer(() => state.step(tensors(ort, feeds))),
      TE.map(RR.map(toValue)),
    ),
  read: state.read,
  dispose: state.release,
})

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
  readonly files: FileArrays
  readonly block: number | null
  readonly costs: Costs
}

export const sessionOf = ({ ort, options, constants, files, block, costs }: Source, graph: Graph) =>
  pipe(
    TE.of({ model: lower(graph, { ...options, block, costs }, constants, files) }),
    TE.bind('session', ({ model }) => createSession(ort, model, options)),
  )

/** All of it in the runtime. */
export const whole = (of: Source): Effect<Program> =>
  pipe(
    sessionOf(of, of.graph),
    TE.map(({ model, session }) => ({ session, startState: states[of.options.device](of, session, model) })),
  )

const uploadedTo = (ort: Runtime, options: SessionOptions, graph: Graph, held: Values): Effect<Held> => {
  const names = Object.keys(held)
  return names.length === 0
    ? TE.right(nothingHeld)
    : pipe(
        createSession(ort, identityModel(only(feedTypes(graph), names)), { ...options, resident: names }),
        TE.chain((uploader) => uploaded(ort, uploader, held)),
      )
}

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
    ({ ort, graph, options }, _, model) =>
    (carry, initial) =>
      pipe(
        TE.Do,
        TE.bind('session', () => createSession(ort, model, { ...options, resident: Object.keys(carry) })),
        TE.bind('reader', () =>
          createSession(ort, identityModel(only(feedTypes(graph), Object.values(carry))), { ...options, resident: [] }),
        ),
        TE.bind('held', () => uploadedTo(ort, options, graph, omit(initial, Object.values(carry)))),
        TE.map((sessions) => residentState(ort, sessions, carry, initial)),
      ),
}

const executable = ({ ort, session, startState }: Compiled): Executable => ({
  run: (feeds) =>
    pipe(
      defer(() => session.run(tensors(ort, feeds))),
      TE.map(RR.map(toValue)),
    ),
  start: (carry, initial) =>
    pipe(
      startState(carry, initial),
      TE.map((state) => stepper(ort, state)),
    ),
  dispose: session.release,
})

/** ONNX Runtime casts to bfloat16 and computes nothing in it; WebGPU has no such numbers. */
const brainFloats: { readonly [D in Device]: (engine: Executor) => Executor } = {
  cpu: simulated('bfloat16'),
  wasm: simulated('bfloat16'),
  webgpu: identity,
}

/** Weights whose layout we choose ourselves are read. */
const bakedIn = (
  asTheyLie: boolean,
  constants: Values,
  files: FileArrays,
): Effect<Pick<Source, 'constants' | 'files'>> =>
  asTheyLie
    ? TE.right({ constants, files })
    : pipe(
        readFiles(files),
        TE.map((read) => ({ constants: { ...constants, ...read }, files: {} })),
      )

/** What differs between builds. */
export interface How {
  /** What of a graph the runtime gets to see. */
  readonly program: (of: Source) => Effect<Program>
  readonly costs: Costs
  /** Threads where none are asked for. */
  readonly threads: () => number
}
const plain: How = { program: whole, costs: measured, threads: () => 1 }

/** Graphs on a device of ONNX Runtime, of whichever build. */
export const executorOn = (device: Device, runtime: Effect<Runtime>, how: Partial<How> = {}): Executor => {
  const { program, costs, threads: threadsHere } = { ...plain, ...how }
  const blockFor = (ort: Runtime, mode: SessionOptions['mode']): Effect<number | null> =>
    TE.fromTask(device === 'cpu' && mode === 'training' ? ort.blockSize : async () => null)
  const engine: Executor = {
    name: `onnx:${device}`,
    compile: (graph, { mode, threads, constants: given = {}, files: inFiles = {} }) =>
      pipe(
        TE.Do,
        TE.bind('ort', () => runtime),
        TE.bind('weights', ({ ort }) => bakedIn(mode === 'sampling' && ort.readsFiles, given, inFiles)),
        TE.chainFirst(({ ort }) => (device === 'webgpu' ? checkHalf(ort, graph) : TE.right(undefined))),
        TE.bind('block', ({ ort }) => blockFor(ort, mode)),
        TE.let('options', (): SessionOptions => ({ device, mode, ...(threads === undefined ? {} : { threads }) })),
        TE.bind('program', ({ weights, ...of }) => program({ ...of, ...weights, graph, costs })),
        TE.map(({ ort, program: made }) => executable({ ...made, ort })),
      ),
    explain: (graph, { mode, threads = threadsHere(), baked = [] }) =>
      pipe(
        runtime,
        TE.chain((ort) => blockFor(ort, mode)),
        TE.map((block) =>
          explained(
            staged(graph, { device, mode, threads, costs }, baked),
            { device, mode, block, costs },
            { threads, baked },
          ),
        ),
      ),
  }
  return contracted(brainFloats[device](engine))
}
