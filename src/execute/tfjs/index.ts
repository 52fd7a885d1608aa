import { type Effect, failure, reasonOf } from '../../error.ts'
import { feedTypes, type Graph, outputTypes } from '../../graph/graph.ts'
import { E, pipe, TE } from '../../prelude.ts'
import type { Carry, Executable, Executor, Stepper, Values } from '../executor.ts'
import { checkFeeds, type Types } from '../feeds.ts'
import { defer, exclusive, lifetime } from '../lifetime.ts'
import { carried, checkCarry, omit, only } from '../reference/carry.ts'
import { type Backend, load } from './backends.ts'
import { type Device, disposeAll, downloadAll, type Tensors, uploadAll } from './device.ts'
import { moveTransposes } from './layout.ts'
import { lower } from './lower.ts'
import { type Machine, prepare } from './machine.ts'
import { schedule } from './program.ts'
import { withQuirk } from './quirks.ts'

/** Everything a compiled graph is made of. */
interface Compiled {
  readonly device: Device
  readonly graph: Graph
  readonly machine: Machine
  /** Leaves that are baked in, on the device. */
  readonly baked: Tensors
  readonly fed: Types
}

/** What TensorFlow.js throws, as an error. */
const guarded = <A>(tag: 'compile' | 'run', at: string, body: () => A): Effect<A> =>
  TE.fromEither(E.tryCatch(body, (e) => [failure(tag, at, `a ${tag} that succeeds`, reasonOf(e))]))

/** Runs the machine with feeds that it takes away again. */
const runOnce = ({ device, machine, baked }: Compiled, state: Tensors, feeds: Values): Effect<Tensors> =>
  guarded('run', device.name, () => {
    const own = uploadAll(device, feeds)
    try {
      return machine.run({ ...baked, ...state, ...own })
    } finally {
      disposeAll(own)
    }
  })

const stepper = (compiled: Compiled, carry: Carry, fed: Types, initial: Values): Stepper => {
  const at = compiled.device.name
  const names = Object.keys(carry)
  let state = uploadAll(compiled.device, initial)
  const { during, end } = lifetime(at, 'stepper', () => disposeAll(state))
  const exclusively = exclusive(at)
  const advance = (results: Tensors): Tensors => {
    disposeAll(state)
    state = carried(results, carry)
    return omit(results, names)
  }
  return {
    step: (feeds) =>
      pipe(
        TE.fromEither(checkFeeds(fed, feeds)),
        TE.chain((checked) =>
          exclusively(
            pipe(
              defer(() => runOnce(compiled, state, checked)),
              TE.map(advance),
              TE.chain((rest) => downloadAll(at, () => rest, disposeAll)),
            ),
          ),
        ),
        during,
      ),
    read: during(exclusively(downloadAll(at, () => state))),
    dispose: end,
  }
}

const executable = (compiled: Compiled): Executable => {
  const { device, graph, fed, machine, baked } = compiled
  const { during, end } = lifetime(device.name, 'executable', () => {
    machine.dispose()
    disposeAll(baked)
  })
  return {
    run: (feeds) =>
      pipe(
        TE.fromEither(checkFeeds(fed, feeds)),
        TE.chain((checked) => runOnce(compiled, {}, checked)),
        TE.chain((results) => downloadAll(device.name, () => results, disposeAll)),
        during,
      ),
    start: (carry, initial) =>
      pipe(
        checkCarry(carry, outputTypes(graph), fed),
        E.chainFirst((types) => checkFeeds(types, initial)),
        TE.fromEither,
        TE.map((types) => stepper(compiled, carry, omit(fed, Object.keys(types)), initial)),
        during,
      ),
    dispose: end,
  }
}

/**
 * Runs graphs on a backend of TensorFlow.js, which is an optional peer: CUDA through `node-gpu`, the CPU through
 * `node`, `wasm` or plain JavaScript, a GPU through `webgpu`.
 *
 * Errors: `compile` where the backend is absent or has no GPU, or lacks a kernel that the graph needs; `run` where feeds
 * do not fit.
 */
export const tfjs = (backend: Backend): Executor => ({
  name: `tfjs:${backend}`,
  compile: (graph, { constants = {} }) =>
    pipe(
      TE.Do,
      TE.bind('ready', () => load(backend)),
      TE.bind('checked', () =>
        TE.fromEither(checkFeeds(only(feedTypes(graph), Object.keys(constants)), constants, 'compile')),
      ),
      TE.bind('roots', ({ ready }) => TE.fromEither(lower(graph, ready.target))),
      TE.chain(({ ready: { device, target }, checked, roots }) =>
        guarded('compile', device.name, () =>
          executable({
            device,
            graph,
            machine: prepare(device, pipe(roots, moveTransposes, withQuirk(target.quirk), schedule)),
            baked: uploadAll(device, checked),
            fed: omit(feedTypes(graph), Object.keys(constants)),
          }),
        ),
      ),
    ),
})
export { type Backend, backends } from './backends.ts'
