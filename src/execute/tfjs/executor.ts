import type { Effect } from '../../error.ts'
import { E, pipe, TE } from '../../prelude.ts'
import { omit, only } from '../carry.ts'
import { contracted } from '../contract.ts'
import type { Carry, Executable, Executor, Stepper, Values } from '../executor.ts'
import type { Types } from '../feeds.ts'
import { readingFiles } from '../files.ts'
import { defer } from '../lifetime.ts'
import type { Ready } from './backends.ts'
import type { Lowered } from './bins.ts'
import { programOf } from './compile.ts'
import { described } from './describe.ts'
import { type Arrays, disposeAll, downloadAll, guarded, uploadAll } from './device.ts'
import { checkIntegers } from './integers.ts'
import { residence, typesOf } from './joined.ts'
import { type Machine, prepare } from './machine.ts'
import { keeping, type Plan, pack } from './packing.ts'
import { type Ended, ended, lowerTogether } from './tail.ts'

/** Everything a compiled graph is made of. */
interface Compiled extends Ready {
  readonly lowered: Lowered
  /** Leaves that are baked in, on the device. */
  readonly baked: Arrays
}

/** What is computed of leaves, of which some are given once and some are state from step to step. */
const planned = (lowered: Lowered, given: Types, carry: Carry = {}): Plan & Pick<Ended, 'joined'> => {
  const { roots, joined } = ended(lowered, carry)
  return { ...keeping(roots, given), joined }
}

/** Runs a machine with what is on the device, and feeds that are taken away again. */
const runWith = ({ device, target }: Compiled, machine: Machine, there: Arrays, feeds: Values): Effect<Arrays> =>
  pipe(
    TE.fromEither(checkIntegers(target, 'run')(feeds)),
    TE.chain((exact) =>
      guarded('run', device.name, () => {
        const own = uploadAll(device, exact)
        try {
          return machine.run({ ...there, ...own })
        } finally {
          disposeAll(own)
        }
      }),
    ),
  )

const stepper = (compiled: Compiled, carry: Carry, initial: Values): Stepper => {
  const { device, lowered, target } = compiled
  const leaves = Object.values(carry)
  const held = omit(initial, leaves)
  const plan = planned(lowered, only(lowered.leaves, [...Object.keys(compiled.baked), ...Object.keys(held)]), carry)
  const state = residence(device, plan.joined, carry)
  const own = pack(device, plan, held)
  const baked = { ...compiled.baked, ...own }
  const machine = prepare(device, programOf(plan.roots, target, plan.kept))
  let now = state.upload(only(initial, leaves))
  const advance = (results: Arrays): Arrays => {
    disposeAll(now)
    now = state.next(results)
    return state.rest(results)
  }
  return {
    step: (feeds) =>
      pipe(
        defer(() => runWith(compiled, machine, { ...baked, ...now }, feeds)),
        TE.map(advance),
        TE.chain((rest) => downloadAll(device, () => rest)),
      ),
    read: defer(() => state.download(now)),
    dispose: () => {
      disposeAll({ ...now, ...own })
      machine.dispose()
    },
  }
}

const executable = (compiled: Compiled): Executable => {
  const { device, baked, lowered, target } = compiled
  const made: { machine?: Machine } = {}
  /** Built at the first run: a training never runs but through a stepper. */
  const machine = defer(() =>
    guarded('run', device.name, () => {
      const { roots, kept } = planned(lowered, only(lowered.leaves, Object.keys(baked)))
      made.machine = made.machine ?? prepare(device, programOf(roots, target, kept))
      return made.machine
    }),
  )
  return {
    run: (feeds) =>
      pipe(
        machine,
        TE.chain((ready) => runWith(compiled, ready, baked, feeds)),
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
    describe: (graph, { baked = [], carry }) =>
      pipe(
        load,
        TE.chain(({ target }) =>
          TE.fromEither(
            pipe(
              lowerTogether(graph, target, baked),
              E.map((lowered) => {
                const { roots, kept, types, joined } = planned(lowered, only(lowered.leaves, baked), carry)
                return described(programOf(roots, target, kept), { ...lowered.leaves, ...types, ...typesOf(joined) })
              }),
            ),
          ),
        ),
      ),
    compile: readingFiles((graph, { constants = {} }) =>
      pipe(
        TE.Do,
        TE.bind('ready', () => load),
        TE.bind('lowered', ({ ready }) => TE.fromEither(lowerTogether(graph, ready.target, Object.keys(constants)))),
        TE.chainFirst(({ ready }) => TE.fromEither(checkIntegers(ready.target, 'compile')(constants))),
        TE.chain(({ ready, lowered }) =>
          guarded('compile', ready.device.name, () => {
            const plan = planned(lowered, only(lowered.leaves, Object.keys(constants)))
            return executable({ ...ready, lowered, baked: pack(ready.device, plan, constants) })
          }),
        ),
      ),
    ),
  })
