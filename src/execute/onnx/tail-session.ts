import type { Tensor } from 'onnxruntime-node'
import { feedTypes, type Graph, outputTypes } from '../../graph/graph.ts'
import { sameShape } from '../../graph/types.ts'
import { pipe, RR, TE } from '../../prelude.ts'
import { carried, omit, only } from '../carry.ts'
import { type Carry, floats, type Value, type Values } from '../executor.ts'
import type { Types } from '../feeds.ts'
import type { Machine, Tail } from '../tail/machine.ts'
import { type Turned, turn, turnBack } from '../tail/turned.ts'
import { writableInPlace } from './in-place.ts'
import { copy, type Runtime, toTensor, toValue } from './runtime.ts'
import type { Session, Tensors } from './session.ts'
import { hostState, type State } from './stepper.ts'

/** A graph in two, both compiled. */
export interface Halves {
  readonly graph: Graph
  readonly body: Graph
  readonly session: Session
  readonly tail: Tail
  readonly turned: Turned
}

/** Arrays of the machine as the runtime sees them, which reads and writes them where they are. */
const lent = (ort: Runtime, types: Types, arrays: Machine['leaves']): Tensors =>
  pipe(
    arrays,
    RR.mapWithIndex((name, data: Float32Array) =>
      toTensor(ort, { dtype: 'float32', shape: types[name]?.shape ?? [data.length], data }),
    ),
  )
/** What arrays of the machine hold, as the graph has them. */
const copies = (types: Types, turned: Turned['leaves'], arrays: Machine['leaves']): Values =>
  pipe(
    arrays,
    RR.mapWithIndex((name, data: Float32Array) =>
      floats(types[name]?.shape ?? [data.length], turnBack(turned[name], data)),
    ),
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

/** The body's session with the loops behind it, as one session of the whole graph. */
const joined = (ort: Runtime, { graph, body, session, turned }: Halves, machine: Machine): Session => {
  const fed = Object.keys(feedTypes(body))
  const leaves = lent(ort, feedTypes(body), only(machine.leaves, fed))
  const handed = lent(ort, outputTypes(body), machine.handed)
  return {
    run: (feeds, into = {}) => {
      for (const [name, array] of Object.entries(machine.leaves))
        if (name in feeds) array.set(turn(turned.leaves[name], numbersOf(feeds[name])))
      const numbers = singles(feeds)
      return pipe(
        session.run({ ...only(feeds, fed), ...leaves }, { ...into, ...handed }),
        TE.map((results) => {
          machine.run((leaf) => numbers.get(leaf) ?? Number.NaN)
          const outputs = copies(outputTypes(graph), turned.outputs, machine.outputs)
          return { ...omit(results, Object.keys(handed)), ...RR.map((x: Value) => toTensor(ort, x))(outputs) }
        }),
      )
    },
    release: session.release,
  }
}

/** One run: every leaf is fed. */
export const runHalves =
  (ort: Runtime, halves: Halves): Session['run'] =>
  (feeds) =>
    joined(ort, halves, halves.tail({})).run(feeds)

/** Whether the new value of a leaf lies as the old one does. */
const liesAlike = ({ leaves, outputs }: Turned, output: string, leaf: string): boolean =>
  sameShape(outputs[output] ?? [], leaves[leaf] ?? [])

/**
 * The leaves that the loops replace lie in the machine; the others as if there were no loops. A leaf whose new value lies in another order
 * is fed anew at every step. Held leaves that loops read lie in the machine too.
 */
export const splitState = (ort: Runtime, halves: Halves, carry: Carry, initial: Values): State => {
  const { turned, graph, body } = halves
  const ofBody = only(carry, Object.keys(body.outputs))
  const ofTail = omit(carry, Object.keys(ofBody))
  const crossing = Object.keys(ofTail).filter((output) => !liesAlike(turned, output, ofTail[output] ?? ''))
  const machine = halves.tail(omit(ofTail, crossing))
  const own = only(machine.leaves, Object.values(omit(ofTail, crossing)))
  const held = omit(initial, Object.values(carry))
  for (const [name, array] of Object.entries({ ...only(machine.leaves, Object.keys(held)), ...own }))
    array.set(turn(turned.leaves[name], initial[name]?.data ?? []))
  let fed = RR.map((v: Value) => toTensor(ort, copy(v)))(only(initial, Object.values(only(ofTail, crossing))))
  const rest = hostState(
    ort,
    joined(ort, halves, machine),
    { carry: ofBody, writable: writableInPlace(body, ofBody) },
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
        ...copies(feedTypes(graph), turned.leaves, own),
        ...RR.map((x: Tensor) => copy(toValue(x)))(fed),
      })),
    ),
    release: rest.release,
  }
}
