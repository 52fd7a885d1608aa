import { feedTypes, type Graph } from '../../graph/graph.ts'
import { size, type TensorType } from '../../graph/types.ts'
import { pipe, RR, TE } from '../../prelude.ts'
import { omit, only } from '../carry.ts'
import { emptyValue, type Value } from '../executor.ts'
import type { Types } from '../feeds.ts'
import type { Placement, Placing, Resident } from '../placement.ts'
import type { Ready } from './backends.ts'
import { programOf } from './compile.ts'
import { type Arrays, disposeAll, guarded, uploadAll } from './device.ts'
import { dryRun, isWebgpuBackend } from './dry-run.ts'
import { type Backend, load } from './installed.ts'
import { prepare } from './machine.ts'
import { keeping, pack } from './packing.ts'
import type { Program } from './program.ts'
import { ended, lowerTogether } from './tail.ts'

/** Everything a step is run with, of zeros. */
export interface Subject {
  readonly ready: Ready
  readonly program: Program
  readonly baked: Arrays
  readonly fed: Types
  readonly resident: Resident
}
type Look = (subject: Subject) => Placement

/** The device is the host's own memory. */
const inHostMemory: Look = ({ program: { steps } }) => ({ nodes: steps.length, leaving: [] })
const untold: Look = (subject) => ({
  ...inHostMemory(subject),
  untold: 'TensorFlow places its kernels itself, and does not say where',
})

const zeros: (types: Types) => Readonly<Record<string, Value>> = RR.map(({ dtype, shape }: TensorType) =>
  emptyValue(dtype, shape, size(shape)),
)
/** What leaves a WebGPU device. Two steps, for the first finds on the host what later ones find where the step before left it. */
export const onWebgpu: Look = ({ ready: { device }, program, baked, fed, resident }) => {
  device.choose()
  const backend = device.backend()
  if (!isWebgpuBackend(backend)) throw new Error('a WebGPU backend of TensorFlow.js that is not known')
  const { watch, leaving, forget, done } = dryRun(backend)
  const machine = prepare(device, program, watch)
  const step = (state: Arrays): Arrays => {
    const own = uploadAll(device, zeros(omit(fed, resident.leaves)))
    try {
      return machine.run({ ...baked, ...state, ...own })
    } finally {
      disposeAll(own)
    }
  }
  const initial = uploadAll(device, zeros(only(fed, resident.leaves)))
  const owned: Arrays[] = [initial]
  try {
    const first = step(initial)
    owned.push(first)
    forget()
    const carried = resident.outputs.flatMap((output, i) => {
      const [leaf, x] = [resident.leaves[i], first[output]]
      return leaf === undefined || x === undefined ? [] : [[leaf, x] as const]
    })
    const second = step(Object.fromEntries(carried))
    owned.push(second)
    return { nodes: program.steps.length, leaving: leaving(Object.values(only(second, resident.outputs))) }
  } finally {
    for (const tensors of owned) disposeAll(tensors)
    machine.dispose()
    done()
  }
}

const looks: { readonly [B in Backend]: Look } = {
  'node-gpu': untold,
  node: inHostMemory,
  webgpu: onWebgpu,
  wasm: inHostMemory,
  cpu: inHostMemory,
}

/**
 * What of a graph leaves the device on a backend of TensorFlow.js. A WebGPU backend is watched while it goes through two
 * steps, all but the shaders. `compile` errors: an absent backend, a kernel that it lacks.
 */
export const tfjsPlacement =
  (backend: Backend): Placing =>
  (graph: Graph, resident, constants = {}) =>
    pipe(
      TE.Do,
      TE.bind('ready', () => load(backend)),
      TE.bind('lowered', ({ ready }) => TE.fromEither(lowerTogether(graph, ready.target, Object.keys(constants)))),
      TE.chain(({ ready, lowered }) =>
        guarded('compile', `tfjs:${backend}`, () => {
          const plan = keeping(ended(lowered).roots, only(lowered.leaves, Object.keys(constants)))
          const baked = pack(ready.device, plan, constants)
          try {
            const fed = omit(feedTypes(graph), Object.keys(constants))
            return looks[backend]({
              ready,
              program: programOf(plan.roots, ready.target, plan.kept),
              baked,
              fed,
              resident,
            })
          } finally {
            disposeAll(baked)
          }
        }),
      ),
    )
