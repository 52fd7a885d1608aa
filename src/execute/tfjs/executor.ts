import type { Effect } from '../../error.ts'
import { feedTypes } from '../../graph/graph.ts'
import { E, pipe, RR, TE } from '../../prelude.ts'
import { carried, omit, only } from '../carry.ts'
import { contracted } from '../contract.ts'
import type { Carry, Executable, Executor, Stepper, Value, Values } from '../executor.ts'
import { readingFiles } from '../files.ts'
import { defer } from '../lifetime.ts'
import type { Ready } from './backends.ts'
import { programOf } from './compile.ts'
import { described } from './describe.ts'
import { type Arrays, cloneAll, disposeAll, downloadAll, guarded, uploadAll } from './device.ts'
import { checkIntegers } from './integers.ts'
import type { Kept } from './layout.ts'
import { type Machine, prepare } from './machine.ts'
import { keeping, pack } from './packing.ts'
import { lowerTogether } from './tail.ts'
import type { Roots } from './value.ts'

/** Everything a compiled graph is made of. */
interface Compiled extends Ready {
  readonly roots: Roots
  /** Leaves that are baked in, on the device, and how they are kept there. */
  readonly baked: Arrays
  readonly bakedKept: Kept
}

const machineOf = ({ device, target, roots, bakedKept }: Compiled): Machine =>
  prepare(device, programOf(roots, target, bakedKept))

/** Runs a machine with feeds that are taken away again. */
const runWith = ({ device, baked, target }: Compiled, machine: Machine, state: Arrays, feeds: Values): Effect<Arrays> =>
  pipe(
    TE.fromEither(checkIntegers(target, 'run')(feeds)),
    TE.chain((exact) =>
      guarded('run', device.name, () => {
        const own = uploadAll(device, exact)
        try {
          return machine.run({ ...baked, ...state, ...own })
        } finally {
          disposeAll(own)
        }
      }),
    ),
  )

/** With more leaves on the device, kept as constants are. */
const holding = (compiled: Compiled, held: Values): Compiled => {
  const { device, roots, baked, bakedKept } = compiled
  const types = RR.map(({ dtype, shape }: Value) => ({ dtype, shape }))(held)
  const plan = keeping(roots, types)
  return {
    ...compiled,
    roots: plan.roots,
    baked: { ...baked, ...pack(device, plan, held) },
    bakedKept: { ...bakedKept, ...plan.kept },
  }
}

const stepper = (of: Compiled, carry: Carry, initial: Values): Stepper => {
  const { device } = of
  const compiled = holding(of, omit(initial, Object.values(carry)))
  const machine = machineOf(compiled)
  let state = uploadAll(device, only(initial, Object.values(carry)))
  const advance = (results: Arrays): Arrays => {
    disposeAll(state)
    state = carried(results, carry)
    return omit(results, Object.keys(carry))
  }
  return {
    step: (feeds) =>
      pipe(
        defer(() => runWith(compiled, machine, state, feeds)),
        TE.map(advance),
        TE.chain((rest) => downloadAll(device, () => rest)),
      ),
    read: downloadAll(device, () => cloneAll(device, state)),
    dispose: () => {
      disposeAll({ ...state, ...omit(compiled.baked, Object.keys(of.baked)) })
      machine.dispose()
    },
  }
}

const executable = (compiled: Compiled): Executable => {
  const { device, baked, target } = compiled
  const made: { machine?: Machine } = {}
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
        machine,
        TE.chain((ready) => runWith(compiled, ready, {}, feeds)),
        TE.chain((results) => downloadAll(device, () => results)),
      ),
    start: (carry, initial) =>
      pipe(
        TE.fromEither(checkIntegers(target, 'run')(initial)),
        TE.chain((exact) => guarded('run', device.name, () => stepper(compiled, carry, exact))),
      ),
    dispose: () => {
      made.machine?.dispose()
      disposeAll(baked)
    },
  }
}

/** Graphs on a backend of TensorFlow.js or on TensorFlow, wherever that comes from. */
export const executorOn = (name: string, load: Effect<Ready>): Executor =>
  contracted({
    name,
    describe: (graph, { baked = [] }) =>
      pipe(
        load,
        TE.chain(({ target }) =>
          TE.fromEither(
            pipe(
              lowerTogether(graph, target, feedTypes(graph), baked),
              E.map((roots) => {
                const plan = keeping(roots, only(feedTypes(graph), baked))
                return described(programOf(plan.roots, target, plan.kept), { ...feedTypes(graph), ...plan.types })
              }),
            ),
          ),
        ),
      ),
    compile: readingFiles((graph, { constants = {} }) =>
      pipe(
        TE.Do,
        TE.bind('ready', () => load),
        TE.bind('roots', ({ ready }) =>
          TE.fromEither(lowerTogether(graph, ready.target, feedTypes(graph), Object.keys(constants))),
        ),
        TE.chainFirst(({ ready }) => TE.fromEither(checkIntegers(ready.target, 'compile')(constants))),
        TE.chain(({ ready, roots }) =>
          guarded('compile', ready.device.name, () => {
            const plan = keeping(roots, only(feedTypes(graph), Object.keys(constants)))
            const baked = pack(ready.device, plan, constants)
            return executable({ ...ready, roots: plan.roots, baked, bakedKept: plan.kept })
          }),
        ),
      ),
    ),
  })
