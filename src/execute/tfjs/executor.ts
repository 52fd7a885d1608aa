import { type Effect, failure, reasonOf } from '../../error.ts'
import { feedTypes, type Graph, outputTypes } from '../../graph/graph.ts'
import { E, pipe, TE } from '../../prelude.ts'
import type { Carry, Executable, Executor, Stepper, Values } from '../executor.ts'
import { checkFeeds, type Types } from '../feeds.ts'
import { defer, exclusive, lifetime } from '../lifetime.ts'
import { carried, checkCarry, omit, only } from '../reference/carry.ts'
import type { Backend, Ready } from './backends.ts'
import { cloneAll, disposeAll, downloadAll, type Tensors, uploadAll } from './device.ts'
import { type Kept, moveTransposes } from './layout.ts'
import { lower } from './lower.ts'
import { type Machine, prepare } from './machine.ts'
import { keptOf, pack } from './packing.ts'
import { schedule } from './program.ts'
import { none, rewrite } from './quirks.ts'
import { sumInPlace } from './sums.ts'
import type { Roots } from './value.ts'

/** Everything a compiled graph is made of. */
interface Compiled extends Ready {
  readonly graph: Graph
  readonly roots: Roots
  /** Leaves that are baked in, on the device, and how they are kept there. */
  readonly baked: Tensors
  readonly bakedKept: Kept
  readonly fed: Types
}

/** What TensorFlow.js throws, as an error. */
const guarded = <A>(tag: 'compile' | 'run', at: string, body: () => A): Effect<A> =>
  TE.fromIOEither(() => E.tryCatch(body, (e) => [failure(tag, at, `a ${tag} that succeeds`, reasonOf(e))]))

const machineOf = ({ device, target, roots, bakedKept }: Compiled): Machine =>
  prepare(
    device,
    pipe(
      moveTransposes(roots, { leaves: bakedKept }),
      rewrite(target.sumsByProducts ? sumInPlace : none),
      rewrite(target.quirk),
      schedule,
    ),
  )

/** Runs a machine with feeds that are taken away again. */
const runWith = ({ device, baked }: Compiled, machine: Machine, state: Tensors, feeds: Values): Effect<Tensors> =>
  guarded('run', device.name, () => {
    const own = uploadAll(device, feeds)
    try {
      return machine.run({ ...baked, ...state, ...own })
    } finally {
      disposeAll(own)
    }
  })

const stepper = (compiled: Compiled, carry: Carry, types: Types, initial: Values): Stepper => {
  const { device } = compiled
  const at = device.name
  const names = Object.keys(carry)
  const fed = omit(compiled.fed, Object.keys(types))
  const machine = machineOf(compiled)
  let state = uploadAll(device, initial)
  const { during, end } = lifetime(at, 'stepper', () => {
    disposeAll(state)
    machine.dispose()
  })
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
              defer(() => runWith(compiled, machine, state, checked)),
              TE.map(advance),
              TE.chain((rest) => downloadAll(device, () => rest)),
            ),
          ),
        ),
        during,
      ),
    read: during(exclusively(downloadAll(device, () => cloneAll(device, state)))),
    dispose: end,
  }
}

const executable = (compiled: Compiled): Executable => {
  const { device, graph, fed, baked } = compiled
  const made: { machine?: Machine } = {}
  const { during, end } = lifetime(device.name, 'executable', () => {
    made.machine?.dispose()
    disposeAll(baked)
  })
  /** Built at the first run: a training never runs but through a stepper. */
  const machine = defer(() =>
    guarded('run', device.name, () => {
      made.machine = made.machine ?? machineOf(compiled)
      return made.machine
    }),
  )
  return {
    run: (feeds) =>
      pipe(
        TE.fromEither(checkFeeds(fed, feeds)),
        TE.bindTo('checked'),
        TE.bind('ready', () => machine),
        TE.chain(({ ready, checked }) => runWith(compiled, ready, {}, checked)),
        TE.chain((results) => downloadAll(device, () => results)),
        during,
      ),
    start: (carry, initial) =>
      pipe(
        checkCarry(carry, outputTypes(graph), fed),
        E.chainFirst((types) => checkFeeds(types, initial)),
        TE.fromEither,
        TE.chain((types) => guarded('run', device.name, () => stepper(compiled, carry, types, initial))),
        during,
      ),
    dispose: end,
  }
}

/** Graphs on a backend of TensorFlow.js, wherever its packages come from. */
export const executorOn = (backend: Backend, load: (name: Backend) => Effect<Ready>): Executor => ({
  name: `tfjs:${backend}`,
  compile: (graph, { constants = {} }) =>
    pipe(
      TE.Do,
      TE.bind('ready', () => load(backend)),
      TE.let('types', () => only(feedTypes(graph), Object.keys(constants))),
      TE.bind('checked', ({ types }) => TE.fromEither(checkFeeds(types, constants, 'compile'))),
      TE.bind('roots', ({ ready }) => TE.fromEither(lower(graph, ready.target))),
      TE.chain(({ ready, types, checked, roots }) =>
        guarded('compile', ready.device.name, () => {
          const bakedKept = keptOf(types)
          return executable({
            ...ready,
            graph,
            roots,
            baked: pack(ready.device, types, bakedKept, checked),
            bakedKept,
            fed: omit(feedTypes(graph), Object.keys(constants)),
          })
        }),
      ),
    ),
})
