import type { Tensor } from 'onnxruntime-node'
import { feedTypes, outputTypes } from '../../graph/graph.ts'
import type { Shape } from '../../graph/types.ts'
import { pipe, RR, TE } from '../../prelude.ts'
import { carried, omit, only } from '../carry.ts'
import { type Carry, floats, type Value, type Values } from '../executor.ts'
import type { Types } from '../feeds.ts'
import { type Order, range, reordered } from '../layout.ts'
import { fedToParts, madeByParts, partsIn, type Staged } from '../stages.ts'
import type { Machine, Tail } from '../tail/machine.ts'
import { writableInPlace } from './in-place.ts'
import { copy, type Runtime, toTensor, toValue } from './runtime.ts'
import type { Session, Tensors } from './session.ts'
import { hostState, type State } from './stepper.ts'

/** A staged graph, compiled: the session of its graphs, and the loops behind it. */
export interface Compiled {
  readonly staged: Staged
  readonly session: Session
  readonly tail: Tail
}
type Orders = Readonly<Record<string, Order>>

/** Numbers of an array as the machine has them, of those as the graph has them, and back. */
const asKept = (shape: Shape, from: ArrayLike<number>, order: Order | undefined): ArrayLike<number> =>
  order === undefined ? from : reordered(shape, from, [range(shape.length), order])
const asDeclared = (shape: Shape, from: Float32Array, order: Order | undefined): Float32Array<ArrayBuffer> =>
  order === undefined ? Float32Array.from(from) : reordered(shape, from, [order, range(shape.length)])

/** Arrays of the machine as the runtime sees them, which reads and writes them where they are. */
const lent = (ort: Runtime, types: Types, arrays: Machine['leaves']): Tensors =>
  pipe(
    arrays,
    RR.mapWithIndex((name, data: Float32Array) =>
      toTensor(ort, { dtype: 'float32', shape: types[name]?.shape ?? [data.length], data }),
    ),
  )
/** What arrays of the machine hold, as the graph has them. */
const copies = (types: Types, orders: Orders, arrays: Machine['leaves']): Values =>
  pipe(
    arrays,
    RR.mapWithIndex((name, data: Float32Array) => {
      const shape = types[name]?.shape ?? [data.length]
      return floats(shape, asDeclared(shape, data, orders[name]))
    }),
  )
/** The feeds of one number, as they are now: the body may write over them. */
const singles = (feeds: Tensors): ReadonlyMap<string, number> =>
  new Map(
    Object.entries(feeds).flatMap(([name, { data }]) =>
      data instanceof Float32Array && data.length === 1 ? [[name, data[0] ?? Number.NaN] as const] : [],
    ),
  )
const numbersOf = (x: Tensor | undefined): Float32Array => {
  if (x?.data instanceof Float32Array) return x.data
  throw new Error(`a loop reads ${x === undefined ? 'what is not fed' : x.type}`)
}

/** The stages as one session of the whole graph: leaves that loops read or replace lie with them, and so does what they are handed. */
const joined = (ort: Runtime, { staged, session }: Compiled, machine: Machine): Session => {
  const [read, made] = [fedToParts(staged), madeByParts(staged)]
  const [types, fed] = [feedTypes(staged.graph), Object.keys(read)]
  const leaves = lent(ort, read, only(machine.leaves, fed))
  const handed = lent(ort, made, machine.handed)
  return {
    run: (feeds, into = {}) => {
      for (const [name, array] of Object.entries(machine.leaves))
        if (name in feeds)
          array.set(asKept(types[name]?.shape ?? [], numbersOf(feeds[name]), staged.layouts.leaves[name]))
      const numbers = singles(feeds)
      return pipe(
        session.run({ ...only(feeds, fed), ...leaves }, { ...into, ...handed }),
        TE.map((results) => {
          machine.run((leaf) => numbers.get(leaf) ?? Number.NaN)
          const outputs = copies(outputTypes(staged.graph), staged.layouts.outputs, machine.outputs)
          return { ...omit(results, Object.keys(handed)), ...RR.map((x: Value) => toTensor(ort, x))(outputs) }
        }),
      )
    },
    release: session.release,
  }
}

/** One run: every leaf is fed. */
export const runOnce =
  (ort: Runtime, compiled: Compiled): Session['run'] =>
  (feeds) =>
    joined(ort, compiled, compiled.tail({})).run(feeds)

/** Whether the new value of a leaf lies as the old one does. */
const liesAlike = ({ leaves, outputs }: Staged['layouts'], output: string, leaf: string): boolean =>
  outputs[output]?.join() === leaves[leaf]?.join()

/** What may be written over the leaf that it replaces: no other graph may read that. */
const writableIn = (staged: Staged, carry: Carry): ReadonlySet<string> => {
  const [only, ...others] = partsIn(staged)
  return only === undefined || others.length > 0 ? new Set() : writableInPlace(only, carry)
}

/**
 * The leaves that the loops replace lie in the machine; the others as if there were no loops. A leaf whose new value lies in another order
 * is fed anew at every step. Held leaves that loops read lie in the machine too.
 */
export const stagedState = (ort: Runtime, compiled: Compiled, carry: Carry, initial: Values): State => {
  const { graph, layouts } = compiled.staged
  const types = feedTypes(graph)
  const ofBody = only(carry, Object.keys(madeByParts(compiled.staged)))
  const ofTail = omit(carry, Object.keys(ofBody))
  const crossing = Object.keys(ofTail).filter((output) => !liesAlike(layouts, output, ofTail[output] ?? ''))
  const machine = compiled.tail(omit(ofTail, crossing))
  const own = only(machine.leaves, Object.values(omit(ofTail, crossing)))
  const held = omit(initial, Object.values(carry))
  for (const [name, array] of Object.entries({ ...only(machine.leaves, Object.keys(held)), ...own }))
    array.set(asKept(types[name]?.shape ?? [], initial[name]?.data ?? [], layouts.leaves[name]))
  let fed = RR.map((v: Value) => toTensor(ort, copy(v)))(only(initial, Object.values(only(ofTail, crossing))))
  const rest = hostState(
    ort,
    joined(ort, compiled, machine),
    { carry: ofBody, writable: writableIn(compiled.staged, ofBody) },
    { ...only(initial, Object.values(ofBody)), ...omit(held, Object.keys(machine.leaves)) },
  )
  return {
    step: (feeds) =>
      pipe(
        rest.step({ ...feeds, ...fed }),
        TE.map((results) => {
          fed = carried(results, only(ofTail, crossing))
          return omit(results, crossing)
        }),
      ),
    read: pipe(
      rest.read,
      TE.map((others) => ({
        ...others,
        ...copies(types, layouts.leaves, own),
        ...RR.map((x: Tensor) => copy(toValue(x)))(fed),
      })),
    ),
    release: rest.release,
  }
}
